"""Terms: an escrow pays for exactly one request and quote, and no consumer pays a wrong quote."""

from dataclasses import replace

import pytest

from p2pgrid.errors import BrokenProtocol, QuoteExpired, Refused
from p2pgrid.ledger import rules
from p2pgrid.limits.ledger import RECLAIM_DELAY_MS
from p2pgrid.model.ids import NodeId, RecordId
from p2pgrid.model.reservation import Quote
from p2pgrid.reservation.terms import (
    check_quote,
    escrow_terms,
    reclaimable_ms,
    settle_before_ms,
    terms_hash,
)
from p2pgrid.units import Amount, TimestampMs
from p2pgrid.wire.signed import Signed, sign
from tests.reservation.samples import NETWORK, NODE_KEY, PAYOUT, PRICE, quote_of, request_of

REQUEST = request_of()
QUOTE = quote_of(REQUEST)
NOW = TimestampMs(1000)


def altered(**changes: object) -> Signed[Quote]:
    record = replace(QUOTE.record, **changes)  # type: ignore[arg-type] # fields of each case below
    return replace(QUOTE, record=record)


def test_a_good_quote_is_paid_by_the_one_escrow() -> None:
    check_quote(QUOTE, REQUEST, PRICE, NOW)

    terms = escrow_terms(REQUEST, QUOTE)
    assert (terms.farm, terms.node) == (PAYOUT, REQUEST.record.node)
    assert (terms.deposit, terms.price_per_hour) == (PRICE, PRICE)
    assert terms.ends_at_ms - terms.starts_at_ms == 3_600_000
    assert terms.terms_hash == terms_hash(REQUEST.id, QUOTE.id)


def test_the_hash_names_both_sides_in_their_order() -> None:
    one, other = RecordId(b"1" * 32), RecordId(b"2" * 32)

    assert len({terms_hash(one, other), terms_hash(other, one), terms_hash(one, one)}) == 3


def test_another_quote_of_the_same_request_needs_another_escrow() -> None:
    later = quote_of(REQUEST, valid_until_ms=61_000)

    assert escrow_terms(REQUEST, later) != escrow_terms(REQUEST, QUOTE)


@pytest.mark.parametrize(
    ("quote", "error", "message"),
    [
        (altered(node=NodeId(b"x" * 32)), BrokenProtocol, "something else"),
        (altered(request=RecordId(b"x" * 32)), BrokenProtocol, "something else"),
        (altered(price_per_hour=Amount(0), deposit=Amount(0)), BrokenProtocol, "no price"),
        (altered(deposit=Amount(PRICE + 1)), BrokenProtocol, "deposit"),
        (altered(deposit=Amount(PRICE - 1)), BrokenProtocol, "deposit"),
        (altered(price_per_hour=Amount(2 * PRICE), deposit=Amount(2 * PRICE)), Refused, "allowed"),
        (altered(valid_until_ms=NOW), QuoteExpired, "ask again"),
    ],
)
def test_a_wrong_quote_is_not_paid(
    quote: Signed[Quote], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_quote(quote, REQUEST, PRICE, NOW)


def test_without_a_limit_any_price_is_allowed() -> None:
    dear = quote_of(REQUEST, price=Amount(10**12))

    check_quote(dear, REQUEST, None, NOW)

    assert sign(dear.record, NODE_KEY, NETWORK).id == dear.id


def test_a_node_stops_to_settle_well_before_the_consumer_may_reclaim() -> None:
    terms = escrow_terms(request_of(grace_seconds=30), quote_of(request_of(grace_seconds=30)))

    assert reclaimable_ms(terms) == terms.ends_at_ms + 30_000 + RECLAIM_DELAY_MS
    assert reclaimable_ms(terms) == rules.reclaimable_ms(terms)
    assert terms.ends_at_ms + 30_000 < settle_before_ms(terms) <= reclaimable_ms(terms) - 120_000
