"""What is there when a node has started is not searched for garbage again; what comes later is."""

import gc
import subprocess
import sys
import weakref

from p2pgrid.collector import uncollected

_KEEPS = """
import gc
from p2pgrid.collector import keep_all
stays = [[] for _ in range(1000)]
keep_all()
assert gc.get_freeze_count() > 1000
assert len(gc.get_objects()) < 1000
assert gc.isenabled()
assert gc.get_threshold()[0] > 10_000
"""


class _Node:
    def __init__(self) -> None:
        self.itself = self


def test_no_cycle_is_looked_for_in_the_block() -> None:
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_garbage_is_found_afterwards() -> None:
    with uncollected():
        gone = weakref.ref(_Node())
    gc.collect()
    assert gone() is None


def test_what_is_kept_is_not_visited() -> None:
    done = subprocess.run([sys.executable, "-c", _KEEPS], check=False)
    assert done.returncode == 0
