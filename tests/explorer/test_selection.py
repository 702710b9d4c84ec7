"""Columns find what a look at every record would find, at any time, whatever came and went."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pgrid.explorer.query import (
    NodeFilter,
    NodeSort,
    NodeView,
    Presence,
    select_nodes,
)
from p2pgrid.explorer.records import ExplorerRecord
from p2pgrid.explorer.selection import Cut
from p2pgrid.explorer.view import View
from p2pgrid.limits.explorer import NAME_LEASE_MS, NODE_FRESH_MS, NODE_LEASE_MS
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.node import Feature, Location, NodeStatus
from p2pgrid.units import HOUR_MS, TimestampMs
from p2pgrid.wire.signed import Signed
from tests.explorer.grid import (
    FARM,
    HARDWARE,
    NOW,
    TOTAL,
    announced,
    farm_members,
    farm_record,
    node_of,
    updated,
)

NUMBERS = range(1, 7)
GHENT = Location(country="Belgium", city="Ghent", latitude_microdegrees=0, longitude_microdegrees=0)
PARIS = Location(country="France", city="PARIS", latitude_microdegrees=0, longitude_microdegrees=0)
GPU = replace(HARDWARE, gpus=("NVIDIA A", "AMD b"), secure_boot=True, virtualized="kvm")
AGES = (0, 0, HOUR_MS, NODE_FRESH_MS + 1)
ALMOST_OVER = -1
"""Instead of an age: the lease ends within the hour."""
CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"location": GHENT, "price_permille": 700},
    {"location": PARIS, "features": (Feature.CONTAINER, Feature.GPU), "hardware": GPU},
    {"addresses": ("/ip6/2001:4860::1/tcp/1",), "price_permille": 700, "boot_ms": NOW - HOUR_MS},
    {"farm": node_of(9), "status": NodeStatus.STANDBY},
    {"status": NodeStatus.GONE},
)
_sequences = iter(range(1, 10**9))


def record_of(number: int, change: int, age_ms: int, what: str) -> Signed[ExplorerRecord]:
    sequence = 10**9 if what.startswith("lie") else next(_sequences)
    lease_ms = NAME_LEASE_MS if what in ("farm", "members") else NODE_LEASE_MS
    time_ms = NOW - (lease_ms - HOUR_MS if age_ms == ALMOST_OVER else age_ms)
    if what == "update":
        free = Capacity(millicores=1000 * change, memory_bytes=change % 2)
        return updated(number, free, sequence=sequence, time_ms=time_ms)
    if what == "lie of a farm":
        return farm_record(f"Lie {change}", sequence=sequence)
    if what == "lie":
        return announced(number, sequence=sequence, **CHANGES[change])
    if what == "farm":
        return farm_record(f"Farm {change % 2}", sequence=sequence, time_ms=time_ms)
    if what == "members":
        return farm_members(*range(1, number), sequence=sequence, time_ms=time_ms)
    return announced(number, sequence=sequence, time_ms=time_ms, **CHANGES[change])


records = st.builds(
    record_of,
    st.sampled_from(NUMBERS),
    st.integers(0, len(CHANGES) - 1),
    st.sampled_from((*AGES, ALMOST_OVER)),
    st.sampled_from(
        ("announcement", "announcement", "update", "farm", "members", "lie", "lie of a farm")
    ),
)
CONDITIONS: dict[str, tuple[Any, ...]] = {
    "free": (Capacity(millicores=2000), Capacity(memory_bytes=1)),
    "node": ("zz", node_of(1).hex()[:3], node_of(2).hex().upper()),
    "farm": ("farm 0", "FARM 1", FARM.hex()[:5], FARM.hex(), "nobody"),
    "country": ("belgium", "France", "Nowhere"),
    "city": ("paris", "Ghent"),
    "features": ((Feature.GPU,), (Feature.CONTAINER,)),
    "gpu": ("nvidia", "b", "c"),
    "price_permille_min": (800,),
    "price_permille_max": (800,),
    "statuses": ((Presence.UP,), (Presence.DOWN, Presence.STANDBY)),
    "is_confirmed": (True, False),
    "secure_boot": (True, False),
    "bare_metal": (True, False),
    "has_ipv6": (True, False),
    "has_public_address": (True, False),
    "is_contradicted": (True, False),
}
# Few at a time: with all of them no node would ever match, and nothing would be compared.
filters = st.lists(
    st.sampled_from([(name, value) for name, values in CONDITIONS.items() for value in values]),
    max_size=2,
).map(lambda chosen: NodeFilter(**dict(chosen)))
cuts = st.builds(
    Cut,
    sort=st.sampled_from(NodeSort),
    is_reversed=st.booleans(),
    skip=st.integers(0, 3),
    limit=st.sampled_from((None, 0, 1, 2)),
)


NEAR = {node_of(2): 5, node_of(3): 3, node_of(5): 5, node_of(99): 1}


def looked_up(view: View, wanted: NodeFilter, cut: Cut, now_ms: TimestampMs) -> tuple[Any, int]:
    """What a look at every node finds."""
    numbers = (node_of(number) for number in NUMBERS)
    rows = [view.node(one, now_ms=now_ms, round_trips=NEAR) for one in numbers]
    there: list[NodeView] = [row for row in rows if row is not None]
    found = select_nodes(there, wanted, cut.sort, is_reversed=cut.is_reversed)
    rest = found[cut.skip :]
    return rest if cut.limit is None else rest[: cut.limit], len(found)


@settings(max_examples=400)
@given(
    st.lists(st.lists(records, max_size=14), min_size=1, max_size=3),
    st.lists(st.tuples(filters, cuts), min_size=3, max_size=3),
    st.sampled_from((HOUR_MS, HOUR_MS + 1, HOUR_MS + 1, NODE_FRESH_MS, NODE_LEASE_MS)),
)
def test_columns_find_what_a_look_at_every_record_finds(
    rounds: list[list[Signed[ExplorerRecord]]],
    queries: list[tuple[NodeFilter, Cut]],
    later_ms: int,
) -> None:
    view = View()
    for number, batch in enumerate(rounds):
        for one in batch:
            view.accept(one, NOW)
        if number == 1:
            view.expire(TimestampMs(NOW + NODE_LEASE_MS - HOUR_MS))
        for wanted, cut in queries:
            for now_ms in (NOW, TimestampMs(NOW + later_ms)):
                page = view.page(wanted, cut, now_ms=now_ms, round_trips=NEAR)
                assert (page.rows, page.total) == looked_up(view, wanted, cut, now_ms)


def test_a_page_of_many_equal_rows_is_picked_out_in_the_one_order() -> None:
    view = View()
    for number in range(1, 1201):
        view.accept(announced(number, total=replace(TOTAL, millicores=1000 * (number % 3))), NOW)
    whole = view.nodes(now_ms=NOW)
    for sort in NodeSort:
        rows = view.page(NodeFilter(), Cut(sort), now_ms=NOW).rows
        assert rows == select_nodes(whole, NodeFilter(), sort)
        page = view.page(NodeFilter(), Cut(sort, skip=30, limit=50), now_ms=NOW)
        assert (page.rows, page.total) == (rows[30:80], 1200)


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least of some tries."""
    took = []
    for _ in range(5):
        started = time.thread_time()
        work()
        took.append(time.thread_time() - started)
    return min(took)


def test_a_search_for_a_gpu_costs_no_look_at_every_name() -> None:
    view = View()
    for number in range(1, 1001):
        names = tuple(f"{place:02d}" for place in range(63))
        view.accept(announced(number, hardware=replace(HARDWARE, gpus=(*names, f"x{number}"))), NOW)
    assert view.page(NodeFilter(gpu="X77"), now_ms=NOW).total == 11
    assert view.page(NodeFilter(gpu="0102"), now_ms=NOW).total == 0
    texts = [text for text, _ in view.columns.now().gpu_names]

    def look_at_every_name() -> int:
        return sum(any("zz" in name for name in text.split("\n")) for text in texts)

    search = cpu_seconds(lambda: view.page(NodeFilter(gpu="zz"), now_ms=NOW))
    assert search < cpu_seconds(look_at_every_name) / 2


def test_what_is_past_its_lease_counts_no_more_although_it_is_held() -> None:
    view = View()
    update = updated(
        1, Capacity(millicores=1), time_ms=NOW - NODE_LEASE_MS + HOUR_MS, reservations=1
    )
    old = NOW - NAME_LEASE_MS + HOUR_MS
    for one in (announced(1), update, farm_record(time_ms=old), farm_members(1, time_ms=old)):
        assert view.accept(one, NOW).refusal is None
    last, over = TimestampMs(NOW + HOUR_MS), TimestampMs(NOW + HOUR_MS + 1)
    for wanted in (
        NodeFilter(is_confirmed=True),
        NodeFilter(farm="acme"),
        NodeFilter(country="Belgium"),
    ):
        assert view.page(wanted, now_ms=last).total == 1
        assert view.page(wanted, now_ms=over).total == 0
    whole = NodeFilter(free=TOTAL.less(Capacity(memory_bytes=TOTAL.memory_bytes)))
    assert view.page(whole, now_ms=last).total == 0
    assert view.page(whole, now_ms=over).total == 1
