"""A reservation as its consumer knows it: stored before money moves, so that none is forgotten.

    REQUESTED   asked for; nothing is owed
    QUOTED      a price is agreed; the payment may be under way
    FUNDED      the escrow is certified; from here on the phase is what the node says
    ENDED, FAILED    the ledger shows the escrow closed
    EXPIRED     not paid, and the quote is over

What the node says is shown; what was paid, only the ledger tells.
"""

from dataclasses import dataclass, replace

from p2pgrid.errors import BrokenProtocol
from p2pgrid.limits.reservation import PAYMENT_DOUBT_MS, QUOTE_SLACK_SECONDS
from p2pgrid.model.ids import RecordId
from p2pgrid.model.operation import OpenEscrow
from p2pgrid.model.reservation import Phase, Quote, ReservationRequest, Status
from p2pgrid.model.workload import Workload
from p2pgrid.reservation.lifecycle import OVER
from p2pgrid.reservation.terms import escrow_terms, reclaimable_ms
from p2pgrid.units import SECOND_MS, Amount, TimestampMs
from p2pgrid.wire.signed import Signed


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a consumer wants, from whichever node."""

    workloads: tuple[Workload, ...]
    duration_seconds: int
    grace_seconds: int = 0
    price_per_hour_max: Amount | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rental:
    """State of one reservation of ours."""

    id: RecordId
    """Of the request."""
    request: ReservationRequest
    node_addresses: tuple[str, ...]
    """Where the node was when it was asked; to dial it again after a restart."""
    phase: Phase = Phase.REQUESTED
    terms: OpenEscrow | None = None
    """What the node's quote asks to be paid; None: no quote yet."""
    pay_before_ms: TimestampMs | None = None
    escrow: RecordId | None = None
    addresses: tuple[str, ...] = ()
    """IPv6 addresses of the workloads."""
    detail: str = ""
    """What the node says of it, for people."""
    exit_code: int | None = None
    status_ms: TimestampMs = TimestampMs(0)
    """When the node said so, by its clock."""
    is_cancelled: bool = False
    """We do not want it any more."""
    paid: Amount | None = None
    """What the farm got; None while the escrow is open."""
    refunded: Amount | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to happen."""
        return self.phase in OVER

    @property
    def may_be_paid(self) -> bool:
        """Whether a payment may turn up of which we do not know yet."""
        return self.terms is not None and self.escrow is None

    def is_done_with(self, now_ms: TimestampMs) -> bool:
        """Whether nobody needs to look after it any more."""
        is_in_doubt = self.may_be_paid and now_ms < (self.pay_before_ms or 0) + PAYMENT_DOUBT_MS
        return self.is_over and not is_in_doubt

    @property
    def reclaimable_ms(self) -> TimestampMs | None:
        """From when on the deposit can be taken back without the node; None without a deposit."""
        if self.terms is None or self.escrow is None or self.paid is not None:
            return None
        return reclaimable_ms(self.terms)


def quoted(rental: Rental, request: Signed[ReservationRequest], quote: Signed[Quote]) -> Rental:
    """After the node named a price that was accepted."""
    return replace(
        rental,
        phase=Phase.QUOTED,
        terms=escrow_terms(request, quote),
        pay_before_ms=quote.record.valid_until_ms,
    )


def funded(rental: Rental, escrow: RecordId) -> Rental:
    """After the payment was certified."""
    if rental.escrow is not None:
        return rental
    return replace(rental, phase=Phase.FUNDED, escrow=escrow)


def unpaid(rental: Rental, now_ms: TimestampMs) -> Rental:
    """After the ledger showed no payment: over, once the node does not wait for it any more."""
    held_ms = (rental.pay_before_ms or 0) + QUOTE_SLACK_SECONDS * SECOND_MS
    if rental.escrow is None and (rental.is_cancelled or now_ms > held_ms):
        return replace(rental, phase=Phase.EXPIRED)
    return rental


def given_up(rental: Rental, now_ms: TimestampMs) -> Rental:
    """After we changed our mind: over at once unless it is paid, else to be cancelled."""
    return unpaid(replace(rental, is_cancelled=True), now_ms)


def told(rental: Rental, status: Status) -> Rental:
    """After the node said how it stands.

    Raises:
        BrokenProtocol: it speaks of something else.
    """
    if (status.node, status.reservation) != (rental.request.node, rental.id):
        raise BrokenProtocol("the node answered with the status of something else")
    if rental.is_over or rental.escrow is None or status.time_ms < rental.status_ms:
        return rental
    # Over is what the ledger says is over, see `closed`.
    phase = Phase.ENDING if status.phase in OVER else status.phase
    return replace(
        rental,
        phase=max(phase, Phase.FUNDED),
        addresses=status.addresses,
        detail=status.detail,
        exit_code=status.exit_code,
        status_ms=status.time_ms,
    )


def closed(rental: Rental, paid: Amount, refunded: Amount) -> Rental:
    """After the ledger showed how the deposit was split."""
    has_failed = paid == 0 and bool(rental.detail) and not rental.is_cancelled
    phase = Phase.FAILED if has_failed else Phase.ENDED
    return replace(rental, phase=phase, paid=paid, refunded=refunded)
