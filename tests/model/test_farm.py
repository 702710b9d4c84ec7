"""Farms stay within bounds, and their owner's key signs for them."""

from typing import Any

import pytest
from hypothesis import given

from p2pgrid.model.farm import MEMBERS_MAX, FarmMembers, FarmRecord
from p2pgrid.model.ids import AccountId, FarmId, NodeId
from p2pgrid.units import TimestampMs
from tests.model.refusals import expect_refused
from tests.strategies import values

FARM = FarmRecord(
    farm=FarmId(b"f" * 32),
    incarnation=0,
    sequence=0,
    time_ms=TimestampMs(0),
    title="Acme",
    payout=AccountId(b"p" * 32),
    location=None,
    price_permille=1000,
    public_ranges=(),
)
MEMBERS = FarmMembers(
    farm=FarmId(b"f" * 32),
    incarnation=0,
    sequence=0,
    time_ms=TimestampMs(0),
    nodes=(NodeId(b"n" * 32),),
)


@pytest.mark.parametrize(
    "changes",
    [
        {"farm": b""},
        {"payout": b"p" * 33},
        {"title": ""},
        {"title": "   "},
        {"title": "\u00a0"},
        {"title": "x" * 65},
        {"title": "Ac\u200bme"},
        {"title": "emcA\u202e"},
        {"price_permille": 0},
        {"price_permille": 99},
        {"price_permille": 10_001},
        {"public_ranges": ("2001:db8::/64",) * 65},
        {"public_ranges": ("x" * 65,)},
        {"public_ranges": ("\x1b",)},
    ],
    ids=", ".join,
)
def test_farms_out_of_bounds(changes: dict[str, Any]) -> None:
    expect_refused(FARM, **changes)


def test_members_out_of_bounds() -> None:
    expect_refused(MEMBERS, nodes=(b"n" * 31,))
    expect_refused(MEMBERS, nodes=(b"n" * 32,) * (MEMBERS_MAX + 1))


@given(values(FarmRecord), values(FarmMembers))
def test_the_owner_speaks_for_a_farm(farm: FarmRecord, members: FarmMembers) -> None:
    assert farm.author == farm.farm
    assert members.author == members.farm
    assert farm.name == members.name == b""
