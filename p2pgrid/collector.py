"""Python's search for cycles of garbage, where it costs much and finds nothing.

Records hold no cycles: they go with their last reference. But whenever objects have become a
quarter more, the search visits all of them: it took 40 % of the time in which a view of 100,000
nodes was loaded, and would hold up everything for a second or so now and then later on.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG_OBJECTS, _YOUNG_SEARCHES, _MIDDLE_SEARCHES = 20_000, 20, 50
"""A few MiB of young objects are looked through at a time; see `gc.set_threshold`."""


@contextmanager
def uncollected() -> Iterator[None]:
    """No search during the block, in which millions of objects come that stay."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def keep_all() -> None:
    """No search ever visits again what is there now, and searches are rare from now on.

    For once in a process, when it has started. Python looks every 700 new objects, which is
    every 30 records heard: a tenth of what one costs.
    """
    gc.collect(0)
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _YOUNG_SEARCHES, _MIDDLE_SEARCHES)
