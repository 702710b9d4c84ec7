"""Messages are late, lost, doubled and cut off as they should be."""

import pytest

from p2pgrid.limits.simulation import MESSAGE_OVERHEAD_BYTES, UPLINK_BYTES_PER_SECOND
from p2pgrid.simulation.scheduler import Scheduler
from p2pgrid.simulation.wires import Faults, Wires

CALM = Faults(loss=0.0, duplicated=0.0)


def wires(faults: Faults = CALM, count: int = 300) -> Wires:
    return Wires(Scheduler(1), count, faults)


def test_latencies_are_those_of_the_internet() -> None:
    carrier = wires()
    latencies = sorted(carrier.wire(0, number).latency for number in range(1, 300))

    assert latencies[150] == pytest.approx(0.040, rel=0.2)
    assert latencies[0] > 0.005
    assert 0.08 < latencies[-1] < 0.4
    assert carrier.wire(5, 0).latency == carrier.wire(0, 5).latency


def test_what_is_sent_at_once_waits_for_the_uplink() -> None:
    carrier = wires()
    first = carrier.arrival(carrier.wire(0, 1), int(UPLINK_BYTES_PER_SECOND))
    second = carrier.arrival(carrier.wire(0, 1), 0)

    assert first is not None
    assert second is not None
    assert first > 1.0
    assert second > 1.0
    assert carrier.sent_bytes[0] == int(UPLINK_BYTES_PER_SECOND) + 2 * MESSAGE_OVERHEAD_BYTES


def test_messages_are_lost_doubled_and_overtake_each_other() -> None:
    carrier = wires(Faults(loss=0.1, duplicated=0.2))
    arrivals, doubled = list[float | None](), 0
    for _ in range(2000):
        arrivals.append(carrier.arrival(carrier.wire(0, 1), 1))
        doubled += carrier.is_doubled()
    came = [one for one in arrivals if one is not None]

    assert 100 < arrivals.count(None) < 300
    assert 300 < doubled < 500
    assert came != sorted(came)


def test_nothing_crosses_a_cut() -> None:
    carrier = wires()
    carrier.cut([0, 1] * 150)

    assert carrier.arrival(carrier.wire(0, 1), 1) is None
    assert carrier.arrival(carrier.wire(0, 2), 1) is not None
    carrier.cut(None)
    assert carrier.arrival(carrier.wire(0, 1), 1) is not None
