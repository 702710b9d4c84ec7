"""Who waits goes first, nobody waits for ever, and wrong bytes are never given out."""

import threading
from collections.abc import Sequence

import pytest
import trio
import trio.testing

from p2pgrid.errors import NotFound, Unreachable
from p2pgrid.flist.blocks import Wanted, block_lengths
from p2pgrid.flist.lazy_blocks import LazyBlocks
from p2pgrid.flist.tree import walk
from p2pgrid.limits.fuse import LAZY_BATCH_CHUNKS, LAZY_READ_SECONDS_MAX
from p2pgrid.model.ids import ChunkId
from tests.flist.archives import apply, member, tar

PLAIN = [f"{number:04}".encode() * 10 for number in range(40)]
TREE, CHUNKS = apply(tar(*(member(f"f/{n:04}", data) for n, data in enumerate(PLAIN))))
WANTED: list[Wanted] = [
    (block, length)
    for _, entry in walk(TREE.root)
    for block, length in zip(entry.blocks, block_lengths(entry.size), strict=True)
]


class Far:
    """Holders that give what they are told to, and remember what they were asked."""

    def __init__(self) -> None:
        self.asked: list[list[ChunkId]] = []
        self.failures = 0
        self.gate = threading.Event()
        self.gate.set()
        self._questions = threading.Semaphore(0)

    async def question(self) -> None:
        """Wait until a thread has put one more question."""
        await trio.to_thread.run_sync(self._questions.acquire)

    def get_many(self, chunks: Sequence[ChunkId]) -> list[bytes | None]:
        self.asked.append(list(chunks))
        self._questions.release()
        self.gate.wait(10)
        if self.failures:
            self.failures -= 1
            raise NotFound("no holder has it")
        return [CHUNKS.get(one) for one in chunks]


@pytest.fixture
def fast_clock(mock_clock: trio.testing.MockClock) -> trio.testing.MockClock:
    """Time flies, also while threads work."""
    mock_clock.rate = 1000
    return mock_clock


async def test_with_what_is_waited_for_come_its_neighbours_in_one_question() -> None:
    far = Far()
    blocks = LazyBlocks(TREE.root, far.get_many)
    assert blocks.have(WANTED[3]) is None

    await blocks.bring(WANTED[3:4])

    assert far.asked == [[one.id for one, _ in WANTED[3 : 4 + LAZY_BATCH_CHUNKS]]]
    assert [bytes(blocks.have(one) or b"") for one in WANTED[3:5]] == PLAIN[3:5]
    await blocks.bring(WANTED[4:6])
    assert len(far.asked) == 1


async def test_all_who_wait_for_a_block_wait_for_one_question() -> None:
    far = Far()
    blocks = LazyBlocks(TREE.root, far.get_many)
    far.gate.clear()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(blocks.bring, WANTED[:1])
        await trio.testing.wait_all_tasks_blocked()
        far.gate.set()
    assert len(far.asked) == 1


async def test_the_rest_comes_in_order_while_nobody_waits() -> None:
    far = Far()
    blocks = LazyBlocks(TREE.root, far.get_many)
    await blocks.bring(WANTED[20:21])
    await blocks.run()

    asked = [one for question in far.asked for one in question]
    assert sorted(asked) == sorted(block.id for block, _ in WANTED)
    assert asked[1 + LAZY_BATCH_CHUNKS :] == [
        block.id for block, _ in WANTED if block.id not in far.asked[0]
    ]


async def test_who_waits_goes_before_the_rest() -> None:
    far = Far()
    blocks = LazyBlocks(TREE.root, far.get_many)
    far.gate.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(blocks.run)
        await far.question()
        nursery.start_soon(blocks.bring, WANTED[39:])
        await far.question()
        far.gate.set()
    assert far.asked[1] == [WANTED[39][0].id]


async def test_memory_is_bounded_and_what_was_used_last_stays() -> None:
    blocks = LazyBlocks(TREE.root, Far().get_many, memory_bytes=12 * len(PLAIN[0]))
    await blocks.bring(WANTED[:1])
    await blocks.run()
    held = [one for one in WANTED if blocks.have(one) is not None]
    assert len(held) == 12
    assert held == WANTED[-12:]


async def test_what_fails_is_asked_for_again(fast_clock: trio.testing.MockClock) -> None:
    far = Far()
    far.failures = 3
    blocks = LazyBlocks(TREE.root, far.get_many)
    await blocks.bring(WANTED[:1])
    assert len(far.asked) == 4
    far.failures = 2
    await blocks.run()
    assert {one for asked in far.asked for one in asked} == set(CHUNKS)


async def test_nobody_waits_for_ever(fast_clock: trio.testing.MockClock) -> None:
    far = Far()
    far.failures = 1000
    blocks = LazyBlocks(TREE.root, far.get_many)
    began = trio.current_time()
    with pytest.raises(Unreachable, match="no holder has it"):
        await blocks.bring(WANTED[:1])
    assert trio.current_time() - began < 1.5 * LAZY_READ_SECONDS_MAX


@pytest.mark.parametrize("given", [b"", b"something else", None])
async def test_wrong_bytes_are_never_given_out(
    given: bytes | None, fast_clock: trio.testing.MockClock
) -> None:
    blocks = LazyBlocks(TREE.root, lambda chunks: [given] * len(chunks))
    with pytest.raises(Unreachable, match=r"damaged|nobody gave"):
        await blocks.bring(WANTED[:1])
    assert blocks.have(WANTED[0]) is None


async def test_one_who_gives_up_leaves_the_others_their_block() -> None:
    far = Far()
    blocks = LazyBlocks(TREE.root, far.get_many)
    far.gate.clear()
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as impatient:
                nursery.start_soon(blocks.bring, WANTED[:1])
                await trio.testing.wait_all_tasks_blocked()
                impatient.cancel()
                await blocks.bring(WANTED[:1])
            far.gate.set()
    assert bytes(blocks.have(WANTED[0]) or b"") == PLAIN[0]
