"""Filters mean what they say, and lists have one order."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import InvalidRecord
from p2pgrid.explorer.query import (
    NodeFilter,
    NodeSort,
    NodeView,
    Presence,
    matches,
    select_nodes,
)
from p2pgrid.explorer.view import View
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import FarmId
from p2pgrid.model.node import Feature, Location
from p2pgrid.wire.codec import decode, encode
from tests.explorer.grid import NOW, announced, farm_record, node_of


def row(number: int = 1, **changes: Any) -> NodeView:
    view = View()
    for record in (announced(number), farm_record()):
        view.accept(record, NOW)
    (plain,) = view.nodes(now_ms=NOW)
    return replace(plain, **changes)


GHENT = Location(country="Belgium", city="Ghent", latitude_microdegrees=0, longitude_microdegrees=0)
GPU = replace(row().hardware, gpus=("NVIDIA 10de:2204",), secure_boot=True, virtualized="kvm")
NODE = row(
    free=Capacity(millicores=2000, memory_bytes=100, ssd_bytes=100, hdd_bytes=100, gpus=1),
    location=GHENT,
    features=(Feature.CONTAINER, Feature.VOLUME),
    hardware=GPU,
    price_permille=800,
    is_confirmed=True,
    is_contradicted=False,
    is_farm_contradicted=False,
    round_trip_us=None,
    addresses=("/ip4/127.0.0.1/tcp/1", "/ip6/2001:4860::1/tcp/1"),
)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (NodeFilter(), True),
        (NodeFilter(free=NODE.free), True),
        (NodeFilter(free=Capacity(millicores=2001)), False),
        (NodeFilter(free=Capacity(memory_bytes=101)), False),
        (NodeFilter(free=Capacity(ssd_bytes=101)), False),
        (NodeFilter(free=Capacity(hdd_bytes=101)), False),
        (NodeFilter(free=Capacity(gpus=2)), False),
        (NodeFilter(node=node_of(1).hex()[:6].upper()), True),
        (NodeFilter(node=node_of(2).hex()[:6]), False),
        (NodeFilter(farm="acme"), True),
        (NodeFilter(farm=NODE.farm.hex()[:4]), True),
        (NodeFilter(farm="acm"), False),
        (NodeFilter(country="BELGIUM", city="ghent"), True),
        (NodeFilter(country="France"), False),
        (NodeFilter(city="Paris"), False),
        (NodeFilter(features=(Feature.VOLUME,)), True),
        (NodeFilter(features=(Feature.VOLUME, Feature.S3)), False),
        (NodeFilter(gpu="nvidia"), True),
        (NodeFilter(gpu="1002"), False),
        (NodeFilter(price_permille_min=800, price_permille_max=800), True),
        (NodeFilter(price_permille_max=799), False),
        (NodeFilter(price_permille_min=801), False),
        (NodeFilter(statuses=(Presence.UP,)), True),
        (NodeFilter(statuses=(Presence.DOWN, Presence.STANDBY)), False),
        (NodeFilter(is_confirmed=True), True),
        (NodeFilter(is_confirmed=False), False),
        (NodeFilter(is_contradicted=True), False),
        (NodeFilter(is_contradicted=False), True),
        (NodeFilter(secure_boot=True), True),
        (NodeFilter(bare_metal=True), False),
        (NodeFilter(has_ipv6=True), True),
        (NodeFilter(has_ipv6=False), False),
        (NodeFilter(has_public_address=True), True),
    ],
)
def test_a_filter_means_what_it_says(wanted: NodeFilter, *, expected: bool) -> None:
    assert matches(NODE, wanted) is expected


@pytest.mark.parametrize(
    "address", ["/ip6/::1/tcp/1", "/ip6/fe80::1/tcp/1", "/ip4/127.0.0.1/tcp/1", "junk", "/dns/::"]
)
def test_addresses_that_nobody_else_reaches_do_not_count(address: str) -> None:
    here = replace(NODE, addresses=(address,))
    assert not matches(here, NodeFilter(has_ipv6=True))
    assert not matches(here, NodeFilter(has_public_address=True))
    private = replace(NODE, addresses=("/ip4/10.0.0.1/tcp/1",))
    assert not matches(private, NodeFilter(has_public_address=True))


def test_a_farm_that_takes_the_id_of_another_as_its_name_is_not_taken_for_it() -> None:
    victim = NODE.farm.hex()
    impostor = replace(NODE, farm=FarmId(bytes(32)), farm_name=victim)
    assert matches(NODE, NodeFilter(farm=victim.upper()))
    assert not matches(impostor, NodeFilter(farm=victim))


rows = st.builds(
    lambda number, cores, price, age: row(
        number, free=Capacity(millicores=cores), price_permille=price, age_ms=age
    ),
    st.integers(1, 5),
    *(st.integers(0, 3) for _ in range(3)),
)


@given(st.data(), st.sampled_from(NodeSort))
def test_the_order_does_not_depend_on_how_nodes_came(data: st.DataObject, sort: NodeSort) -> None:
    nodes = data.draw(st.lists(rows, max_size=6, unique_by=lambda node: node.node))
    again = data.draw(st.permutations(nodes))
    assert select_nodes(nodes, NodeFilter(), sort) == select_nodes(again, NodeFilter(), sort)


def test_each_order_puts_its_best_first() -> None:
    cheap = row(1, price_permille=1, free=Capacity(), age_ms=9, uptime_ms=1)
    large = row(
        2,
        price_permille=9,
        free=Capacity(millicores=1, memory_bytes=1, ssd_bytes=1, hdd_bytes=1),
        age_ms=1,
        uptime_ms=9,
        round_trip_us=10**9,
    )
    firsts = {sort: select_nodes([cheap, large], NodeFilter(), sort)[0] for sort in NodeSort}
    by_id = min((cheap, large), key=lambda node: node.node)
    assert firsts.pop(NodeSort.ID) == by_id
    assert firsts.pop(NodeSort.PRICE) == cheap
    assert set(firsts.values()) == {large}
    assert select_nodes([cheap, large], NodeFilter(), NodeSort.PRICE, is_reversed=True)[0] == large


def test_filters_travel() -> None:
    wanted = NodeFilter(free=Capacity(millicores=1), features=(Feature.S3,), has_ipv6=False)
    assert decode(NodeFilter, encode(wanted)) == wanted
    with pytest.raises(InvalidRecord):
        NodeFilter(farm="x" * 200)
    with pytest.raises(InvalidRecord):
        NodeFilter(features=(Feature.S3,) * 50)
