"""Whether a node takes a reservation, and what it asks for it. Refusals say what would fit.

A quote holds capacity before anything is paid, so a hold must not be free for
all: it takes a balance that could pay it, all unpaid quotes together hold a
share of the node, and a quote above that share stands alone, now and then.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields
from functools import reduce
from operator import add

from p2pgrid.errors import InsufficientBalance, Refused
from p2pgrid.limits import reservation as limits
from p2pgrid.limits.ledger import GRACE_SECONDS_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.genesis import PricingPolicy
from p2pgrid.model.ids import AccountId, FarmId, NodeId, RecordId
from p2pgrid.model.node import Feature
from p2pgrid.model.reservation import Phase, Quote, ReservationRequest
from p2pgrid.reservation.lifecycle import Reservation
from p2pgrid.reservation.matching import features_of, lacking_text
from p2pgrid.reservation.pricing import PERMILLE, deposit_for, price_per_hour
from p2pgrid.units import SECOND_MS, TimestampMs, format_tft


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a node gives to reservations, and for what price."""

    farm: FarmId
    payout: AccountId
    price_permille: int
    features: tuple[Feature, ...]
    capacity: Capacity
    """For all reservations together: what the machine has, less what it keeps for itself."""
    pricing: PricingPolicy


def occupied(reservations: Collection[Reservation]) -> Capacity:
    """What all of them take from the node."""
    return reduce(add, (one.occupies for one in reservations), Capacity())


def check_request(
    request: ReservationRequest, node: NodeId, offer: Offer, now_ms: TimestampMs, *, can_pause: bool
) -> None:
    """Whether `request` makes sense for this node at all. Raises Refused."""
    missing = [
        one.name.lower() for one in features_of(request.workloads) if one not in offer.features
    ]
    ends_at_ms = request.starts_at_ms + request.duration_seconds * SECOND_MS
    if request.node != node:
        raise Refused("the request is for another node")
    if request.valid_until_ms <= now_ms:
        raise Refused("the request's time is over; check the clock and ask again")
    if missing:
        raise Refused(f"this node offers no {', '.join(missing)}")
    if request.signers or request.weight_needed:
        raise Refused("this node does not serve reservations of several signers yet")
    if request.grace_seconds and not can_pause:
        raise Refused(
            "this node keeps no data after the end of a reservation; "
            "leave `grace` out of the document, or write grace = 0"
        )
    if request.grace_seconds > GRACE_SECONDS_MAX:
        raise Refused("this node keeps things for at most 30 days after the end")
    behind_ms = now_ms - request.starts_at_ms
    if behind_ms > limits.REQUEST_BEHIND_SECONDS_MAX * SECOND_MS:
        raise Refused("the reservation would have started minutes ago; check the clock, ask again")
    if -behind_ms > limits.REQUEST_AHEAD_SECONDS_MAX * SECOND_MS:
        raise Refused("reservations start at once, and this is minutes ahead; check the clock")
    if ends_at_ms <= now_ms:
        raise Refused("the reservation would be over before it starts")


def check_room(
    request: ReservationRequest, offer: Offer, reservations: Collection[Reservation]
) -> None:
    """Whether there is room for `request` besides `reservations`. Raises Refused."""
    quotes = _unpaid(reservations)
    own = _own(request, quotes)
    if len(own) >= limits.QUOTES_PER_CONSUMER_MAX or len(quotes) >= limits.QUOTES_MAX:
        raise Refused("too many quotes are waiting to be paid; pay them, or ask in a minute")
    lacking = lacking_text(request.needs, offer.capacity.less(occupied(reservations)))
    if lacking:
        raise Refused(f"this node has {lacking}")


def check_share(
    request: ReservationRequest,
    offer: Offer,
    reservations: Collection[Reservation],
    large_wait_ms: int,
) -> None:
    """Whether unpaid quotes would leave enough of the node to others.

    For `large_wait_ms` from now, a large quote that lapsed keeps others of its kind away.

    Raises:
        Refused: ask for less, or later.
    """
    share, quotes = _quotes_share(offer.capacity), _unpaid(reservations)
    small = [one for one in quotes if one.request.needs.fits_in(share)]
    if not is_large(request, offer):
        if not (request.needs + occupied(small)).fits_in(share):
            raise Refused(
                "what this node holds for quotes that are not paid yet is taken; ask in a minute"
            )
    elif len(small) < len(quotes):
        raise Refused(
            "a quote for most of this node waits to be paid already; ask in a minute, or for less"
        )
    elif large_wait_ms > 0:
        raise Refused(
            "a quote for most of this node was not paid lately; "
            f"ask in {-(-large_wait_ms // SECOND_MS)} seconds, or for less"
        )


def is_large(request: ReservationRequest, offer: Offer) -> bool:
    """Whether it alone takes more than all unpaid quotes may hold."""
    return not request.needs.fits_in(_quotes_share(offer.capacity))


def check_funds(
    request: ReservationRequest, offer: Offer, reservations: Collection[Reservation], balance: int
) -> None:
    """Whether `balance` covers what this and the consumer's other open quotes here would cost.

    Raises:
        InsufficientBalance: it does not, so nothing is held.
    """
    price = price_per_hour(request.needs, offer.pricing, offer.price_permille)
    cost = deposit_for(price, request.duration_seconds) + offer.pricing.fee
    quotes = _own(request, _unpaid(reservations))
    promised = sum(one.terms.deposit + offer.pricing.fee for one in quotes)
    if cost + promised > balance:
        besides = f", besides {format_tft(promised)} TFT for {len(quotes)} open quotes"
        raise InsufficientBalance(
            f"it takes {format_tft(cost)} TFT, deposit and fee{besides if quotes else ''}; as far "
            f"as this node knows the account has {format_tft(balance)}"
        )


def _unpaid(reservations: Collection[Reservation]) -> list[Reservation]:
    return [one for one in reservations if one.phase is Phase.QUOTED]


def _own(request: ReservationRequest, quotes: Collection[Reservation]) -> list[Reservation]:
    return [one for one in quotes if one.request.consumer == request.consumer]


def _quotes_share(capacity: Capacity) -> Capacity:
    """Rounded up: of one GPU, one."""
    amounts = {field.name: getattr(capacity, field.name) for field in fields(capacity)}
    permille = limits.QUOTES_SHARE_PERMILLE_MAX
    return Capacity(**{name: -(-amount * permille // PERMILLE) for name, amount in amounts.items()})


def quote_for(
    request: ReservationRequest,
    identity: RecordId,
    offer: Offer,
    now_ms: TimestampMs,
) -> Quote:
    """The node's price for `request`, and until when it holds."""
    price = price_per_hour(request.needs, offer.pricing, offer.price_permille)
    return Quote(
        node=request.node,
        farm=offer.farm,
        payout=offer.payout,
        request=identity,
        price_per_hour=price,
        deposit=deposit_for(price, request.duration_seconds),
        valid_until_ms=TimestampMs(now_ms + limits.QUOTE_SECONDS * SECOND_MS),
    )
