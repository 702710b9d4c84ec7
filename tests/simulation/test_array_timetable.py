"""Events of a grid of arrays happen in their window, and never in the one that made them."""

import numpy as np

from p2pgrid.simulation.array_timetable import Timetable


def test_events_come_in_the_window_of_their_time() -> None:
    events = Timetable(1)
    events.put(0, np.array([0.035, 0.012, 0.039, 0.151], np.float32), np.array([1, 2, 3, 4]))

    found = {window: events.take(window)[1].tolist() for window in range(20)}

    assert {window: one for window, one in found.items() if one} == {1: [2], 3: [1, 3], 15: [4]}


def test_what_a_window_makes_for_itself_happens_in_the_next() -> None:
    events = Timetable(1)
    events.put(5, np.array([0.051, 0.01], np.float32), np.array([1, 2]))

    assert events.take(5)[1].tolist() == []
    assert events.take(6)[1].tolist() == [1, 2]
    assert events.take(6)[1].tolist() == []
