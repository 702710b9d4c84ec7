"""What records are said to take of memory is what they take, by Python's own count."""

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from p2pgrid.explorer.records import ExplorerRecord, memory_bytes_of, verify_record
from p2pgrid.explorer.selection import Cut
from p2pgrid.explorer.view import View
from p2pgrid.limits.explorer import ANNOUNCEMENTS_MEMORY_BYTES_MAX, NODES_HELD_MAX
from p2pgrid.model.farm import FarmRecord
from p2pgrid.model.ids import AccountId, FarmId, FlistId
from p2pgrid.model.node import Feature, Location
from p2pgrid.units import KIB
from p2pgrid.wire.signed import Signed, sign
from tests.explorer.grid import (
    GRID,
    HARDWARE,
    NOW,
    TOTAL,
    announced,
    farm_record,
    flist_name,
    holdings,
    key_of,
    members_of,
    node_of,
    updated,
)

RECORDS = 100
EMPTY_VIEW_BYTES = 96 * KIB
WIDE = "\U00020000"
"""A character that makes all of its text take four bytes each."""


def with_gpus(number: int, *names: str) -> Signed[ExplorerRecord]:
    return announced(number, hardware=replace(HARDWARE, gpus=names))


def placed(number: int, letters: str) -> Signed[ExplorerRecord]:
    texts = {"country": f"a{number}{letters}", "city": f"b{number}{letters}"}
    place = Location(**texts, latitude_microdegrees=10**8, longitude_microdegrees=10**8)
    return announced(number, location=place)


def farm_of(number: int, *ranges: str) -> Signed[ExplorerRecord]:
    owner = node_of(number)
    farm = replace(cast(FarmRecord, farm_record().record), farm=FarmId(owner))
    return sign(replace(farm, payout=AccountId(owner), public_ranges=ranges), key_of(number), GRID)


def like_a_real_one(number: int) -> Signed[ExplorerRecord]:
    """An announcement as most machines make it, 600 bytes."""
    peer = "12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf"
    return announced(
        number,
        addresses=tuple(
            f"/ip4/10.0.{number % 250}.{place}/tcp/4001/p2p/{peer}" for place in range(4)
        ),
        features=(Feature.CONTAINER, Feature.VOLUME),
        hardware=replace(
            HARDWARE, board="Supermicro X10DRi", cpu_model="Intel(R) Xeon(R) CPU E5-2680 v4"
        ),
        location=Location(
            country="Belgium",
            city="Ghent",
            latitude_microdegrees=141_000_000,
            longitude_microdegrees=183_700_000,
        ),
    )


MAKERS: dict[str, Callable[[int], Signed[ExplorerRecord]]] = {
    "announcement": announced,
    "a real one": like_a_real_one,
    "short texts": lambda n: announced(
        n,
        hardware=replace(HARDWARE, gpus=(f"{n % 90 + 10}",) * 63 + (f"{n}",)),
        addresses=tuple(f"{place:02d}" for place in range(16)),
    ),
    "short wide texts": lambda n: with_gpus(n, *(f"{n}{WIDE}",) * 64),
    "one wide letter": lambda n: with_gpus(n, *(f"{n}{'a' * 100}{WIDE}",) * 30),
    "wide places": lambda n: placed(n, "a" * 100 + WIDE),
    "long addresses": lambda n: announced(n, addresses=("a" * 200,) * 16),
    "update": lambda n: updated(n, TOTAL),
    "name": lambda n: flist_name(n, "web", FlistId(bytes(32))),
    "holdings": lambda n: holdings(n, *(FlistId(bytes([n, k]) * 16) for k in range(100))),
    "farm": farm_of,
    "short ranges": lambda n: farm_of(n, *(f"{n % 10}{WIDE}",) * 64),
    "one member": lambda n: members_of(n, 1),
    "many members": lambda n: members_of(n, 1000),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_records_take_about_what_is_said(make: Callable[[int], Signed[ExplorerRecord]]) -> None:
    envelopes = [make(number).envelope for number in range(1, RECORDS + 1)]
    tracemalloc.start()
    try:
        view = View()
        for envelope in envelopes:
            signed = verify_record(bytes(bytearray(envelope)), GRID)
            assert signed is not None
            view.accept(signed, NOW)
        view.page(cut=Cut(limit=1), now_ms=NOW)  # columns are memory too
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert view.memory_bytes / 2 < taken < 1.1 * view.memory_bytes + EMPTY_VIEW_BYTES


def test_a_grid_of_usual_nodes_has_room() -> None:
    usual = memory_bytes_of(like_a_real_one(1))
    assert usual * NODES_HELD_MAX <= ANNOUNCEMENTS_MEMORY_BYTES_MAX
    assert len(like_a_real_one(1).envelope) > 550
