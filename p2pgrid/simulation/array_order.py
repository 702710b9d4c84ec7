"""Orders of events in one short window of time, by radix sort: numpy has it for 16 bits only."""

import numpy as np

from p2pgrid.simulation.array_links import Column

_HALF_BITS = 16
_STEPS = 65_535


def by_time(at: Column) -> Column:
    """Places in the order of their time, to a 65,535th of the time between first and last.

    >>> by_time(np.array([2.5, 1.5, 2.0], np.float32)).tolist()
    [1, 2, 0]
    """
    if not len(at):
        return np.empty(0, np.int64)
    first, last = at.min(), at.max()
    scale = _STEPS / max(float(last - first), 1e-9)
    return np.argsort(((at - first) * scale).astype(np.uint16), kind="stable")


def by_number(numbers: Column) -> Column:
    """Places in the order of their number, which is below 2^32; of equal ones the first first.

    >>> by_number(np.array([70_000, 5, 70_000, 4])).tolist()
    [3, 1, 0, 2]
    """
    order = np.argsort(numbers.astype(np.uint16), kind="stable")
    upper = (numbers >> _HALF_BITS).astype(np.uint16)[order]
    return order[np.argsort(upper, kind="stable")]


def first_of_each(keys: Column, at: Column) -> Column:
    """The place of the earliest of each key.

    >>> first_of_each(np.array([7, 3, 7]), np.array([2.0, 1.0, 1.5], np.float32)).tolist()
    [1, 2]
    """
    order = by_time(at)
    order = order[by_number(keys[order])]
    firsts: Column = order[np.diff(keys[order], prepend=-1) != 0]
    return firsts
