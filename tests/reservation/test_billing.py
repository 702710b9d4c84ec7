"""A bill's hash names every figure of it."""

from dataclasses import replace

from p2pgrid.model.ids import RecordId
from p2pgrid.reservation.billing import Bill
from p2pgrid.units import Amount, TimestampMs

BILL = Bill(
    reservation=RecordId(b"r" * 32),
    escrow=RecordId(b"e" * 32),
    from_ms=TimestampMs(1),
    until_ms=TimestampMs(2),
    price_per_hour=Amount(3),
    to_farm=Amount(4),
)


def test_every_figure_changes_the_evidence() -> None:
    others = [
        replace(BILL, reservation=RecordId(b"x" * 32)),
        replace(BILL, escrow=RecordId(b"x" * 32)),
        replace(BILL, from_ms=TimestampMs(0)),
        replace(BILL, until_ms=TimestampMs(9)),
        replace(BILL, price_per_hour=Amount(9)),
        replace(BILL, to_farm=Amount(9)),
    ]

    hashes = {bill.evidence for bill in (BILL, *others)}

    assert len(hashes) == 7
    assert {len(one) for one in hashes} == {32}
