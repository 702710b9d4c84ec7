"""An image that is being made or brought here does not lose chunks to eviction."""

import os
from collections.abc import Sequence
from pathlib import Path

from p2pgrid.chunks.chunk_store import Blob
from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.flist.fetching import Progress
from p2pgrid.flist.service import FlistService
from p2pgrid.flist.tree import chunk_ids
from p2pgrid.flist.tree_room import DiskShare, need_of
from p2pgrid.limits.flist import DISK_RESERVE_BYTES
from tests.flist.archives import member, tar, write_layout
from tests.flist.peers import NoPeers, OnePeer

LAYERS = [tar(member(str(number), os.urandom(1000))) for number in range(5)]


def ignore(progress: Progress) -> None:
    """For work whose progress is of no interest."""


class GreedyStore(MemoryChunkStore):
    """Evicts all that it may, each time that chunks come."""

    async def put(self, blobs: Sequence[Blob]) -> None:
        await super().put(blobs)
        self.evict([one.chunk for one in self.kept()], pins_version=self.pins_version)


async def test_eviction_leaves_images_alone_that_are_under_way(tmp_path: Path) -> None:
    theirs, ours = GreedyStore(), GreedyStore()
    origin = FlistService(theirs, NoPeers(), tmp_path / "theirs")
    here = FlistService(ours, OnePeer(theirs, ours), tmp_path / "ours")
    for service in (origin, here):
        await service.recover()
    layout = write_layout(tmp_path / "layout", LAYERS, config={"Cmd": ["/0"]})

    made = await origin.convert(f"oci:{layout}", ignore)
    wanted = chunk_ids((await origin.read(made.flist)).root)
    assert len(wanted) >= 5
    assert all(theirs.has(chunk) for chunk in wanted)
    known = [Blob(wanted[-1], await theirs.get(wanted[-1]))]
    await MemoryChunkStore.put(ours, known)  # nothing is evicted before the image comes
    await here.prepare(made.flist, (), ignore)
    assert all(ours.has(chunk) for chunk in wanted)


async def test_caches_give_way_before_an_image_comes(tmp_path: Path) -> None:
    theirs, ours = MemoryChunkStore(), MemoryChunkStore()
    asked: list[int] = []

    async def make_room(room_bytes: int) -> None:
        asked.append(room_bytes)

    origin = FlistService(theirs, NoPeers(), tmp_path / "theirs")
    here = FlistService(
        ours, OnePeer(theirs, ours), tmp_path / "ours", share=DiskShare(make_room=make_room)
    )
    for service in (origin, here):
        await service.recover()
    layout = write_layout(tmp_path / "layout", LAYERS, config={"Cmd": ["/0"]})
    made = await origin.convert(f"oci:{layout}", ignore)

    need = need_of(await origin.read(made.flist), ours.has)
    await here.prepare(made.flist, (), ignore)

    assert asked == [need.tree_bytes + need.chunk_bytes + DISK_RESERVE_BYTES]
    assert need.chunk_bytes >= 5000
