"""A hold keeps what it names and what is put while it lasts, and no longer."""

import pytest

from p2pgrid.chunks.holds import Holds
from tests.chunks.blobs import blob

NAMED, PUT, OTHER = (blob(number).chunk for number in range(3))


def test_holds_of_several_tasks_end_each_for_itself() -> None:
    holds = Holds()
    with holds.hold([NAMED]):
        with holds.hold():
            holds.note([PUT])
        assert [holds.is_held(one) for one in (NAMED, PUT, OTHER)] == [True, True, False]
    holds.note([OTHER])
    assert not any(holds.is_held(one) for one in (NAMED, PUT, OTHER))


def test_a_task_that_fails_holds_nothing() -> None:
    holds = Holds()
    with pytest.raises(RuntimeError), holds.hold([NAMED]):
        raise RuntimeError
    assert not holds.is_held(NAMED)
