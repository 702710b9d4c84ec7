"""What people ask for comes whole, stays as long as they want, and goes on after a restart."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import trio

from p2pgrid.chunks.chunk_store import Blob
from p2pgrid.chunks.download import Progress as Fetched
from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.chunks.wanted import Urgency
from p2pgrid.errors import NotFound, StoreFailed, Unreachable
from p2pgrid.flist.fetching import Progress
from p2pgrid.flist.pulls import PIN_PULLING, PIN_SEEDED, PIN_SEEDING, Pulls
from p2pgrid.flist.service import FlistService
from p2pgrid.flist.tree_room import DiskShare
from p2pgrid.limits.flist import DISK_RESERVE_BYTES
from p2pgrid.model.ids import ChunkId, FlistId, NodeId
from tests.flist.peers import NoPeers, OnePeer


def ignore(progress: Progress) -> None:
    """For work whose progress is of no interest."""


@pytest.fixture
async def made(service: FlistService, canary: Path) -> FlistId:
    source = canary / "source"
    source.mkdir()
    for number in range(20):
        (source / f"{number:02}").write_bytes(os.urandom(5000))
    return (await service.convert(f"dir:{source}", ignore)).flist


def pulls_of(
    theirs: MemoryChunkStore, ours: MemoryChunkStore, share: DiskShare | None = None
) -> Pulls:
    return Pulls(ours, OnePeer(theirs, ours), share or DiskShare())


async def test_a_pull_brings_every_chunk_and_leaves_a_cache(
    made: FlistId, chunks: MemoryChunkStore
) -> None:
    ours, heard = MemoryChunkStore(), list[Progress]()
    pulled = await pulls_of(chunks, ours).pull(made, (), heard.append, is_seeded=False)

    assert (pulled.flist, pulled.chunk_count, pulled.content_bytes) == (made, 20, 100_000)
    assert sum(pulled.given_bytes.values()) == 20
    assert ours.usage().chunk_count == 20
    assert ours.pins(made) == ()
    assert (heard[-1].phase, heard[-1].done_bytes, heard[-1].peer_count) == ("fetch", 100_000, 1)


async def test_what_is_seeded_stays_until_it_is_given_up(
    made: FlistId, chunks: MemoryChunkStore
) -> None:
    ours = MemoryChunkStore()
    pulls = pulls_of(chunks, ours)
    await pulls.pull(made, (), ignore, is_seeded=True)
    again = await Pulls(ours, NoPeers(), DiskShare()).pull(made, (), ignore, is_seeded=True)

    assert again.given_bytes == {}
    assert ours.pins(made) == (PIN_SEEDED,)
    assert pulls.unfinished() == {}
    assert await pulls.give_up(made)
    assert not await pulls.give_up(made)
    assert (ours.pins(made), ours.flists()) == ((), ())


async def test_giving_up_leaves_what_is_kept_for_another_reason(
    made: FlistId, chunks: MemoryChunkStore
) -> None:
    before = chunks.pins(made)
    pulls = Pulls(chunks, NoPeers(), DiskShare())
    assert not await pulls.give_up(made)
    await pulls.pull(made, (), ignore, is_seeded=True)
    assert await pulls.give_up(made)
    assert chunks.pins(made) == before
    assert chunks.flists() == (made,)


class Breaking(OnePeer):
    """Breaks off in the middle, as a node does that is killed."""

    async def fetch_chunks(
        self,
        flist: FlistId,
        wanted: Sequence[ChunkId],
        holders: Sequence[NodeId],
        on_progress: Callable[[Fetched], None],
        urgency: Urgency,
    ) -> Mapping[NodeId, int]:
        for chunk in wanted[:7]:
            await self._ours.put([Blob(chunk, await self._theirs.get(chunk))])
        raise Unreachable("nobody is there any more")


@pytest.mark.parametrize("is_seeded", [False, True])
async def test_what_was_interrupted_is_known_kept_and_not_fetched_again(
    made: FlistId, chunks: MemoryChunkStore, is_seeded: bool
) -> None:
    ours = MemoryChunkStore()
    with pytest.raises(Unreachable):
        await Pulls(ours, Breaking(chunks, ours), DiskShare()).pull(
            made, (), ignore, is_seeded=is_seeded
        )
    assert ours.pins(made) == ((PIN_SEEDING if is_seeded else PIN_PULLING),)

    peer = OnePeer(chunks, ours)
    after_restart = Pulls(ours, peer, DiskShare())
    assert after_restart.unfinished() == {made: is_seeded}
    assert after_restart.is_wanted(made)
    await after_restart.pull(made, (), ignore, is_seeded=is_seeded)

    assert len(peer.asked) == 13
    assert not after_restart.is_wanted(made)
    assert ours.pins(made) == ((PIN_SEEDED,) if is_seeded else ())


async def test_who_gives_up_while_it_comes_does_not_find_it_seeded(
    made: FlistId, chunks: MemoryChunkStore
) -> None:
    ours = MemoryChunkStore()

    class Slow(OnePeer):
        """Takes its time."""

        async def fetch_chunks(self, *arguments: object) -> Mapping[NodeId, int]:
            await pulls.give_up(made)
            return {}

    pulls = Pulls(ours, Slow(chunks, ours), DiskShare())
    await pulls.pull(made, (), ignore, is_seeded=True)
    assert ours.pins(made) == ()


async def test_what_is_abandoned_is_not_resumed_and_what_was_seeded_stays_so(
    made: FlistId, chunks: MemoryChunkStore
) -> None:
    ours = MemoryChunkStore()
    pulls = pulls_of(chunks, ours)
    await pulls.pull(made, (), ignore, is_seeded=True)
    await ours.pin(made, PIN_PULLING)
    await pulls.abandon(made)
    assert ours.pins(made) == (PIN_SEEDED,)

    empty = MemoryChunkStore()
    breaking = Pulls(empty, Breaking(chunks, empty), DiskShare())
    with pytest.raises(Unreachable):
        await breaking.pull(made, (), ignore, is_seeded=False)
    await breaking.abandon(made)
    assert (breaking.unfinished(), empty.flists()) == ({}, ())


async def test_there_must_be_room_and_the_cache_makes_some(
    made: FlistId, chunks: MemoryChunkStore
) -> None:
    ours, asked, free_bytes = MemoryChunkStore(), list[int](), DISK_RESERVE_BYTES

    async def make_room(room_bytes: int) -> None:
        await trio.lowlevel.checkpoint()
        asked.append(room_bytes)

    def share(free: int) -> DiskShare:
        return DiskShare(free_bytes=lambda: free, make_room=make_room)

    with pytest.raises(StoreFailed, match="no room"):
        await pulls_of(chunks, ours, share(free_bytes)).pull(made, (), ignore, is_seeded=False)
    assert ours.usage().chunk_count == 0
    await pulls_of(chunks, ours, share(2 * free_bytes)).pull(made, (), ignore, is_seeded=False)
    assert asked == [100_000 + DISK_RESERVE_BYTES] * 2


async def test_nobody_has_it(made: FlistId) -> None:
    ours = MemoryChunkStore()
    with pytest.raises(NotFound):
        await Pulls(ours, NoPeers(), DiskShare()).pull(made, (), ignore, is_seeded=True)
    assert ours.pins(made) == ()
