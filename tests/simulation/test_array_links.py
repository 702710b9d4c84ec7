"""The graph of a grid of arrays is one of links, whose two directions know each other."""

import numpy as np

from p2pgrid.limits.simulation import MEMBERS_OUTBOUND
from p2pgrid.simulation.array_links import random_links


def test_both_directions_of_a_link_belong_together() -> None:
    links = random_links(300, np.random.default_rng(1))

    assert (links.back[links.back] == np.arange(len(links.back))).all()
    assert (links.target[links.back] == links.source).all()
    assert (links.latency[links.back] == links.latency).all()
    assert (links.source != links.target).all()
    assert len(set(zip(links.source.tolist(), links.target.tolist(), strict=True))) == len(
        links.source
    )
    assert 1.9 * MEMBERS_OUTBOUND < links.degree.mean() <= 2 * MEMBERS_OUTBOUND


def test_edges_of_a_node_follow_each_other_as_they_were_connected() -> None:
    links = random_links(300, np.random.default_rng(1))
    owners, edges = links.edges_of(np.array([7, 250, 7]))

    assert (links.source[edges] == np.array([7, 250, 7])[owners]).all()
    assert len(edges) == 2 * links.degree[7] + links.degree[250]
    peers = links.target[edges[owners == 1]]
    lower = peers[peers < 250]
    assert peers[: len(lower)].tolist() == sorted(lower.tolist())
