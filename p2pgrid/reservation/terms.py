"""What a consumer and a node agree on: request, quote, and the escrow that names both.

The hash of request and quote stands in the escrow, which the consumer signs;
so one signature on the ledger binds the consumer to the whole agreement, and
the node is bound by its quote.
"""

from hashlib import blake2b

from p2pgrid.errors import BrokenProtocol, QuoteExpired, Refused
from p2pgrid.limits.ledger import RECLAIM_DELAY_MS, SETTLE_MARGIN_MS
from p2pgrid.model.ids import ID_BYTES, RecordId
from p2pgrid.model.operation import OpenEscrow
from p2pgrid.model.reservation import Quote, ReservationRequest
from p2pgrid.reservation.pricing import deposit_for
from p2pgrid.units import SECOND_MS, Amount, TimestampMs, format_tft
from p2pgrid.wire.signed import Signed


def terms_hash(request: RecordId, quote: RecordId) -> bytes:
    """What an escrow names, 32 bytes. Both ids are salted with the grid's id already."""
    return blake2b(request + quote, digest_size=ID_BYTES, person=b"p2pgrid.terms").digest()


def escrow_terms(request: Signed[ReservationRequest], quote: Signed[Quote]) -> OpenEscrow:
    """The one payload that pays for `request` as `quote` says; any other pays for nothing."""
    starts_at_ms = request.record.starts_at_ms
    return OpenEscrow(
        farm=quote.record.payout,
        node=quote.record.node,
        deposit=quote.record.deposit,
        price_per_hour=quote.record.price_per_hour,
        starts_at_ms=starts_at_ms,
        ends_at_ms=TimestampMs(starts_at_ms + request.record.duration_seconds * SECOND_MS),
        grace_seconds=request.record.grace_seconds,
        terms_hash=terms_hash(request.id, quote.id),
    )


def reclaimable_ms(terms: OpenEscrow) -> TimestampMs:
    """From when on the consumer may take the deposit back without the node."""
    grace_ms = terms.grace_seconds * SECOND_MS
    return TimestampMs(terms.ends_at_ms + grace_ms + RECLAIM_DELAY_MS)


def settle_before_ms(terms: OpenEscrow) -> TimestampMs:
    """From when on the node signs nothing about the escrow any more."""
    return TimestampMs(reclaimable_ms(terms) - SETTLE_MARGIN_MS)


def check_quote(
    quote: Signed[Quote],
    request: Signed[ReservationRequest],
    price_per_hour_max: Amount | None,
    now_ms: TimestampMs,
) -> None:
    """Whether a consumer may pay `quote`.

    Raises:
        BrokenProtocol: it is not an answer to `request`, or its numbers contradict each other.
        Refused: it costs more than the consumer allowed.
        QuoteExpired: the node does not hold the capacity any more.
    """
    asked, said = request.record, quote.record
    if (said.node, said.request) != (asked.node, request.id):
        raise BrokenProtocol("the node answered with a quote for something else")
    if said.price_per_hour <= 0:
        raise BrokenProtocol("the node quotes no price")
    if said.deposit != deposit_for(said.price_per_hour, asked.duration_seconds):
        raise BrokenProtocol("the node quotes a deposit that does not fit its price")
    if price_per_hour_max is not None and said.price_per_hour > price_per_hour_max:
        raise Refused(
            f"the node asks {format_tft(said.price_per_hour)} TFT an hour, "
            f"more than the {format_tft(price_per_hour_max)} allowed"
        )
    if now_ms >= said.valid_until_ms:
        raise QuoteExpired("the node's quote was over before it could be paid; ask again")
