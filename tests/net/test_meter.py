"""Only what the work itself takes is counted, and it notices nothing of being measured."""

import time

import pytest
import trio
import trio.testing

from p2pgrid.limits.net import PEER_BURST_MS, PEER_MS_PER_SECOND
from p2pgrid.model.ids import NodeId
from p2pgrid.net.control import Answer, Request
from p2pgrid.net.control_session import Service
from p2pgrid.net.desk import Desk
from p2pgrid.net.meter import Meter

PEER = NodeId(b"p" * 32)
SECONDS = 0.02


def burn(seconds: float = SECONDS) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def test_work_is_counted_over_its_waits_and_that_of_others_is_not() -> None:
    meter, turn = Meter(), trio.Event()

    async def other() -> None:
        await turn.wait()
        burn(10 * SECONDS)

    async def work() -> str:
        burn()
        turn.set()
        await trio.sleep(0.001)
        burn()
        return "done"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(other)
        assert await meter.run(work()) == "done"
    assert 2000 * SECONDS <= meter.ms < 5000 * SECONDS


async def test_what_fails_is_counted_too() -> None:
    meter = Meter()

    async def work() -> None:
        burn()
        await trio.lowlevel.checkpoint()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await meter.run(work())
    assert meter.ms >= 1000 * SECONDS


async def test_work_can_be_cancelled_and_clean_up() -> None:
    meter, cleaned = Meter(), trio.Event()

    async def work() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            cleaned.set()

    with trio.move_on_after(0.001) as scope:
        await meter.run(work())
    assert scope.cancelled_caught
    assert cleaned.is_set()


async def test_work_can_go_on_after_what_its_own_wait_raised() -> None:
    async def work() -> str:
        with trio.move_on_after(0):
            await trio.sleep(60)
        await trio.lowlevel.checkpoint()
        return "went on"

    assert await Meter().run(work()) == "went on"


async def test_what_a_handler_takes_of_cpu_is_paid_by_the_peer_and_its_waiting_is_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def answer(peer: NodeId, body: bytes) -> bytes:
        await trio.sleep(1)
        burn()
        return b""

    async def ask(service: Service) -> float:
        asked_at = trio.current_time()
        assert await service.answer(PEER, Request(1, "burn", b"")) == Answer(1, b"")
        return trio.current_time() - asked_at - 1

    service = Service({"burn": answer}, Desk(lambda peer: ""))
    now = trio.current_time()
    service.desk._budgets.charge(PEER, "", PEER_BURST_MS + PEER_MS_PER_SECOND, now)
    assert await ask(service) >= 1  # all was used up, and a second more
    gained_ms = PEER_MS_PER_SECOND  # while the handler slept
    service.desk._budgets.charge(PEER, "", gained_ms, trio.current_time())
    assert await ask(service) >= 1000 * SECONDS / PEER_MS_PER_SECOND
