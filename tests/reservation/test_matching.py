"""Matching: never a node that does not fit, always in the same order, spread over farms."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import NoFittingNode
from p2pgrid.limits.reservation import CANDIDATE_AGE_MS_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.genesis import PricingPolicy
from p2pgrid.model.ids import FarmId, FlistId, NodeId
from p2pgrid.model.node import Feature
from p2pgrid.model.workload import Container, Volume
from p2pgrid.reservation.matching import (
    Candidate,
    Wanted,
    features_of,
    match_nodes,
)
from p2pgrid.reservation.pricing import price_per_hour
from p2pgrid.units import GIB, Amount

PRICING = PricingPolicy()
NEEDS = Capacity(millicores=1000, memory_bytes=GIB)
WANTED = Wanted(needs=NEEDS, features=(Feature.CONTAINER,))


def node_of(number: int, *, farm: int = 1, cores: int = 4, permille: int = 1000) -> Candidate:
    return Candidate(
        node=NodeId(bytes([number]) * 32),
        farm=FarmId(bytes([farm]) * 32),
        free=Capacity(millicores=cores * 1000, memory_bytes=8 * GIB),
        features=(Feature.CONTAINER,),
        price_permille=permille,
        age_ms=0,
        addresses=(),
    )


nodes = st.builds(
    node_of,
    st.integers(0, 255),
    farm=st.integers(0, 4),
    cores=st.integers(0, 3),
    permille=st.sampled_from([500, 1000, 2000]),
)
grids = st.lists(nodes, max_size=20, unique_by=lambda node: node.node)


@given(grids, st.randoms(use_true_random=False))
def test_the_order_of_the_candidates_does_not_matter(grid: list[Candidate], random: Random) -> None:
    expected = match_nodes(grid, WANTED, PRICING)

    random.shuffle(grid)

    assert match_nodes(grid, WANTED, PRICING) == expected


@given(grids, st.integers(0, 10**8))
def test_every_candidate_is_judged_once_and_rightly(grid: list[Candidate], price: int) -> None:
    wanted = replace(WANTED, price_per_hour_max=Amount(price))
    matching = match_nodes(grid, wanted, PRICING)

    assert len(matching.fits) + len(matching.misfits) == len(grid)
    for fit in matching.fits:
        assert NEEDS.fits_in(fit.candidate.free)
        assert fit.price_per_hour <= price
    for misfit in matching.misfits:
        cost = price_per_hour(NEEDS, PRICING, misfit.candidate.price_permille)
        assert cost > price or not NEEDS.fits_in(misfit.candidate.free)
        assert misfit.reason


@given(grids)
def test_the_cheapest_come_first(grid: list[Candidate]) -> None:
    prices = [fit.price_per_hour for fit in match_nodes(grid, WANTED, PRICING).fits]

    assert prices == sorted(prices)


def test_at_one_price_each_farm_has_its_turn() -> None:
    grid = [node_of(1, farm=1), node_of(2, farm=1), node_of(3, farm=2), node_of(4, farm=2)]

    order = [fit.candidate.node[0] for fit in match_nodes(grid, WANTED, PRICING).fits]

    assert order == [1, 3, 2, 4]


def test_farms_in_use_already_come_later() -> None:
    grid = [node_of(1, farm=1), node_of(2, farm=2)]

    matching = match_nodes(grid, WANTED, PRICING, in_use={grid[0].farm: 1})

    assert [fit.candidate.node[0] for fit in matching.fits] == [2, 1]


def test_reasons_say_what_is_missing() -> None:
    grid = [
        node_of(1, cores=0),
        replace(node_of(2), features=()),
        replace(node_of(3), age_ms=CANDIDATE_AGE_MS_MAX + 1),
        node_of(4, permille=10_000),
        node_of(5),
        replace(node_of(6), is_distrusted=True),
    ]
    wanted = replace(WANTED, price_per_hour_max=Amount(10**7))

    matching = match_nodes(grid, wanted, PRICING, excluded={grid[4].node})

    assert [misfit.reason for misfit in matching.misfits] == [
        "only 0 cores left",
        "offers no container",
        "not heard of for 7 hours",
        "costs 1.9100000 TFT an hour",
        "excluded",
        "told different things at once; to be had by its id only",
    ]
    with pytest.raises(NoFittingNode, match="1 of 6: only 0 cores left"):
        matching.require_fits()


def test_an_empty_grid_is_said_to_be_empty() -> None:
    with pytest.raises(NoFittingNode, match="no node is known yet"):
        match_nodes([], WANTED, PRICING).require_fits()


def test_workloads_name_the_features_they_need() -> None:
    container = Container(
        name="a",
        flist=FlistId(bytes(32)),
        millicores=10,
        memory_bytes=GIB,
        root_bytes=GIB,
    )

    found = features_of([Volume(name="b", size_bytes=GIB), container])

    assert found == (Feature.CONTAINER, Feature.VOLUME)
