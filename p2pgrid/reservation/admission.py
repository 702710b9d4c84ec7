"""Whether a node takes a reservation, and what it asks for it. Refusals say what would fit."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import reduce
from operator import add

from p2pgrid.errors import Refused
from p2pgrid.limits import reservation as limits
from p2pgrid.limits.ledger import GRACE_SECONDS_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.genesis import PricingPolicy
from p2pgrid.model.ids import AccountId, FarmId, NodeId, RecordId
from p2pgrid.model.node import Feature
from p2pgrid.model.reservation import Phase, Quote, ReservationRequest
from p2pgrid.reservation.lifecycle import Reservation
from p2pgrid.reservation.matching import features_of, lacking_text
from p2pgrid.reservation.pricing import deposit_for, price_per_hour
from p2pgrid.units import SECOND_MS, TimestampMs


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
        raise Refused("this node keeps nothing after the end of a reservation; ask without grace")
    if request.grace_seconds > GRACE_SECONDS_MAX:
        raise Refused("this node keeps things for at most 30 days after the end")
    if request.starts_at_ms > now_ms + limits.REQUEST_AHEAD_SECONDS_MAX * SECOND_MS:
        raise Refused("this node reserves at most a day ahead")
    if ends_at_ms <= now_ms:
        raise Refused("the reservation would be over before it starts")


def check_room(
    request: ReservationRequest, offer: Offer, reservations: Collection[Reservation]
) -> None:
    """Whether there is room for `request` besides `reservations`. Raises Refused."""
    quotes = [one for one in reservations if one.phase is Phase.QUOTED]
    own = [one for one in quotes if one.request.consumer == request.consumer]
    if len(own) >= limits.QUOTES_PER_CONSUMER_MAX or len(quotes) >= limits.QUOTES_MAX:
        raise Refused("too many quotes are waiting to be paid; pay them, or ask in a minute")
    lacking = lacking_text(request.needs, offer.capacity.less(occupied(reservations)))
    if lacking:
        raise Refused(f"this node has {lacking}")


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
