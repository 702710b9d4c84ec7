"""Who keeps his place when there are too many: the old, the useful, and one of every prefix."""

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.limits.net import EVICTION_SPARES_PREFIXES, EVICTION_SPARES_USEFUL, INBOUND_PEERS_MAX
from p2pgrid.model.ids import NodeId
from p2pgrid.net.eviction import whom_to_evict
from p2pgrid.net.links import Link


def link(number: int, prefix: str, since: float) -> Link:
    return Link(NodeId(number.to_bytes(32, "big")), "", prefix, is_outbound=False, since=since)


def flooded(links: list[Link], newcomers: list[Link]) -> list[Link]:
    """What is left of `links` after many have come, one after the other."""
    for one in newcomers:
        links = [*links, one]
        if len(links) > INBOUND_PEERS_MAX:
            gone = whom_to_evict(links)
            links = [each for each in links if each.peer != gone]
    return links


def test_a_flood_from_one_prefix_pushes_out_nobody_else() -> None:
    """However young they are; one of each prefix and the older half are safe in any case."""
    honest = [link(number, f"p{number % 40}", float(number)) for number in range(60)]
    flood = [link(1000 + number, "flood", 100.0 + number) for number in range(1000)]
    left = flooded(honest, flood)

    assert len(left) == INBOUND_PEERS_MAX
    assert set(honest) <= set(left)


def test_a_flood_from_everywhere_pushes_out_neither_the_old_nor_the_useful() -> None:
    honest = [link(number, f"p{number}", float(number)) for number in range(60)]
    useful = replace(link(900, "p900", 90.0), useful_at=95.0)
    flood = [link(1000 + number, f"f{number}", 100.0 + number) for number in range(1000)]
    left = flooded([*honest, useful], flood)

    assert {*honest, useful} <= set(left)


def test_newcomers_still_get_in() -> None:
    """A node that is full of old ones lets nobody new be its neighbour otherwise."""
    old = [link(number, f"p{number % 7}", float(number)) for number in range(INBOUND_PEERS_MAX)]
    newcomer = link(1000, "new", 1000.0)

    assert newcomer in flooded(old, [newcomer])


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 50), st.booleans()), max_size=90),
    st.integers(0, 99),
)
def test_the_choice_does_not_depend_on_order_and_spares_who_is_to_be_spared(
    rows: list[tuple[int, int, bool]], seed: int
) -> None:
    links = [
        replace(link(number, f"p{prefix}", float(since)), useful_at=float(since))
        if is_useful
        else link(number, f"p{prefix}", float(since))
        for number, (prefix, since, is_useful) in enumerate(rows)
    ]
    gone = whom_to_evict(links)
    shuffled = links.copy()
    Random(seed).shuffle(shuffled)

    assert whom_to_evict(shuffled) == gone
    if gone is None:
        assert len(links) <= EVICTION_SPARES_USEFUL + EVICTION_SPARES_PREFIXES + 1
    else:
        evicted = next(one for one in links if one.peer == gone)
        older = [one for one in links if one.prefix == evicted.prefix and one.peer != gone]
        assert min((one.since, one.peer) for one in older) < (evicted.since, evicted.peer)
