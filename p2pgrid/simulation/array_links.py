"""Who is linked with whom in a grid of arrays: both directions of each link, sorted by sender."""

from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from p2pgrid.limits.simulation import (
    LATENCY_MEDIAN_SECONDS,
    LATENCY_SIGMA,
    MEMBERS_OUTBOUND,
)

Column = NDArray[Any]
"""Numbers of one kind: of integers, of float32 seconds, or of flags."""


@dataclass(frozen=True, slots=True)
class Links:
    """Edges are numbers; those of one sender follow each other, as they were connected.

    As in `World.start_settled`: nodes connect one after the other, each with all its peers. So
    each is first connected with peers of lower numbers, in their order, and then with the others.
    """

    first: Column
    """Of each node, its first edge."""
    degree: Column
    """Of each node, how many peers it has."""
    source: Column
    target: Column
    """Of each edge, who sends and who receives on it."""
    back: Column
    """Of each edge, the one in the other direction."""
    latency: Column
    """Of each edge, seconds; of both directions the same."""

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return len(self.degree)

    def edges_of(self, nodes: Column) -> tuple[Column, Column]:
        """All edges on which these nodes send.

        Returns:
            (owners, edges): for each edge, at which place of `nodes` its sender is; in order.
        """
        counts = self.degree[nodes]
        owners = np.repeat(np.arange(len(nodes)), counts)
        starts = self.first[nodes] - (np.cumsum(counts) - counts)
        return owners, np.arange(len(owners)) + starts[owners]


def random_links(nodes: int, random: np.random.Generator) -> Links:
    """Each node dials MEMBERS_OUTBOUND others, whoever they are."""
    dialled = random.integers(0, nodes - 1, (nodes, min(MEMBERS_OUTBOUND, nodes - 1)))
    numbers = np.arange(nodes)[:, np.newaxis]
    dialled += dialled >= numbers  # nobody dials itself
    low, high = np.minimum(dialled, numbers), np.maximum(dialled, numbers)
    pairs = np.unique((low.astype(np.int64) * nodes + high).ravel())
    low, high = pairs // nodes, pairs % nodes
    source, target = np.concatenate((low, high)), np.concatenate((high, low))
    turn = np.where(target < source, target, nodes + random.permutation(len(source)))
    order = np.lexsort((turn, source))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    back = place[(order + len(pairs)) % len(order)]  # one direction is so far from the other
    latency = np.exp(random.normal(log(LATENCY_MEDIAN_SECONDS), LATENCY_SIGMA, len(pairs)))
    degree = np.bincount(source, minlength=nodes)
    return Links(
        first=np.cumsum(degree) - degree,
        degree=degree,
        source=source[order].astype(np.int32),
        target=target[order].astype(np.int32),
        back=back.astype(np.int32),
        latency=np.tile(latency, 2)[order].astype(np.float32),
    )
