"""The documents of a reservation stay within bounds, and each is signed by who makes it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import AccountId, NodeId, RecordId, one_line
from p2pgrid.model.reservation import (
    DETAIL_BYTES_MAX,
    DURATION_SECONDS_MAX,
    SIGNERS_MAX,
    WORKLOADS_MAX,
    Cancellation,
    Phase,
    Quote,
    ReservationRequest,
    Signer,
    Status,
)
from p2pgrid.model.workload import Volume
from p2pgrid.units import MIB, TimestampMs
from tests.model.refusals import expect_refused
from tests.strategies import values

SIGNER = Signer(key=AccountId(b"s" * 32), weight=1, is_required=False)
REQUEST = ReservationRequest(
    consumer=AccountId(b"c" * 32),
    node=NodeId(b"n" * 32),
    nonce=bytes(16),
    valid_until_ms=TimestampMs(9),
    starts_at_ms=TimestampMs(5),
    duration_seconds=60,
    grace_seconds=0,
    workloads=(Volume(name="a", size_bytes=MIB), Volume(name="b", size_bytes=2 * MIB)),
)
STATUS = Status(
    node=NodeId(b"n" * 32),
    reservation=RecordId(b"r" * 32),
    time_ms=TimestampMs(1),
    phase=Phase.RUNNING,
    addresses=("2001:db8::1",),
    detail="",
    exit_code=None,
)


@pytest.mark.parametrize(
    "changes",
    [
        {"consumer": b""},
        {"node": b""},
        {"nonce": bytes(15)},
        {"duration_seconds": 59},
        {"duration_seconds": DURATION_SECONDS_MAX + 1},
        {"workloads": ()},
        {"workloads": REQUEST.workloads[:1] * 2},
        {
            "workloads": tuple(
                Volume(name=f"v{number}", size_bytes=MIB) for number in range(WORKLOADS_MAX + 1)
            )
        },
        {"signers": (SIGNER,) * (SIGNERS_MAX + 1)},
        {"starts_at_ms": INTEGER_MAX},
        {"grace_seconds": INTEGER_MAX // 1000},
    ],
    ids=", ".join,
)
def test_requests_out_of_bounds(changes: dict[str, Any]) -> None:
    expect_refused(REQUEST, **changes)


def test_a_request_needs_what_its_workloads_need() -> None:
    assert REQUEST.needs == Capacity(ssd_bytes=3 * MIB)


@pytest.mark.parametrize(
    "changes",
    [
        {"node": b""},
        {"reservation": b""},
        {"addresses": ("2001:db8::1",) * (WORKLOADS_MAX + 1)},
        {"addresses": ("x" * 65,)},
        {"addresses": ("\x1b[2J",)},
        {"detail": "x" * (DETAIL_BYTES_MAX + 1)},
        {"detail": "line one\nline two"},
    ],
    ids=", ".join,
)
def test_states_out_of_bounds(changes: dict[str, Any]) -> None:
    expect_refused(STATUS, **changes)


def test_any_reason_can_be_told() -> None:
    reason = one_line("runc: cannot start\n\x1b[31m" + "x" * 5000, bytes_max=DETAIL_BYTES_MAX)
    assert replace(STATUS, detail=reason).detail.startswith("runc: cannot start [31m")


@given(values(ReservationRequest), values(Quote), values(Cancellation), values(Status))
def test_each_side_signs_what_it_says(
    request_: ReservationRequest, quote: Quote, cancellation: Cancellation, status: Status
) -> None:
    assert request_.author == request_.consumer
    assert cancellation.author == cancellation.consumer
    assert quote.author == quote.node
    assert status.author == status.node


@given(values(Quote), values(Cancellation))
def test_documents_name_whom_they_are_about(quote: Quote, cancellation: Cancellation) -> None:
    expect_refused(quote, payout=b"")
    expect_refused(quote, request=b"")
    expect_refused(cancellation, reservation=b"")
