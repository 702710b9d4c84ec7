"""A grid is its genesis: anything that differs makes another grid, nonsense makes none."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.genesis import FarmingPolicy, Genesis, PricingPolicy
from p2pgrid.model.ids import AccountId, NodeId
from p2pgrid.units import Amount, TimestampMs
from p2pgrid.wire.codec import decode, encode
from tests.model.refusals import expect_refused
from tests.strategies import values

A, B = b"a" * 32, b"b" * 32
GENESIS = Genesis(
    name="test",
    created_ms=TimestampMs(1),
    nonce=bytes(16),
    witnesses=((NodeId(A), 1), (NodeId(B), 1)),
    balances=((AccountId(A), Amount(5)), (AccountId(B), Amount(7))),
    pricing=PricingPolicy(),
    farming=FarmingPolicy(),
    epoch_seconds=3600,
    seeds=("/ip6/2001:db8::1/tcp/4001",),
)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "Test"},
        {"name": "test\n"},
        {"name": "-test"},
        {"name": "t" * 33},
        {"nonce": bytes(15)},
        {"witnesses": ()},
        {"witnesses": ((A, 0),)},
        {"witnesses": ((B, 1), (A, 1))},
        {"witnesses": ((A, 1), (A, 1))},
        {"witnesses": ((b"", 1),)},
        {"witnesses": tuple((bytes([0, n]) * 16, 1) for n in range(129))},
        {"balances": ((B, 1), (A, 1))},
        {"balances": ((A, 1), (A, 1))},
        {"balances": ((A, INTEGER_MAX), (B, 1))},
        {"epoch_seconds": 0},
        {"seeds": ("x" * 257,)},
        {"seeds": ("\x1b",)},
    ],
    ids=", ".join,
)
def test_constitutions_that_make_no_grid(changes: dict[str, Any]) -> None:
    expect_refused(GENESIS, **changes)


def test_policies_that_divide_by_nothing() -> None:
    expect_refused(PricingPolicy(), tft_usd=0)
    expect_refused(PricingPolicy(), farm_permille=1001)
    expect_refused(FarmingPolicy(), period_seconds=0)


@given(values(Genesis), values(Genesis))
def test_two_constitutions_are_two_grids(a: Genesis, b: Genesis) -> None:
    assert (a.network == b.network) == (a == b)
    assert decode(Genesis, encode(a)).network == a.network


def test_grids_of_one_name_differ_by_their_nonce() -> None:
    assert replace(GENESIS, nonce=b"n" * 16).network != GENESIS.network
    assert len(GENESIS.network) == 16
