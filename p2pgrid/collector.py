"""Python's search for cycles of garbage, where it costs much and finds nothing.

Records hold no cycles: they go with their last reference. But whenever objects have become a
quarter more, the search visits all of them: it took 40 % of the time in which a view of 100,000
nodes was loaded, and would hold up everything for a second or so now and then later on.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


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
    """No search ever visits again what is there now. For once in a process, when it has started."""
    gc.collect(0)
    gc.freeze()
