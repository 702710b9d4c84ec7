"""An flist is brought here, verified and unpacked, whole or not at all."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from p2pgrid.chunks.chunk_store import Blob
from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.errors import BadImage, NotFound, StoreFailed
from p2pgrid.flist.service import PIN_CONVERTED, PIN_UNPACKED, FlistService, Image, Progress
from p2pgrid.model.ids import FlistId
from tests.flist.archives import directory, member, tar, write_layout
from tests.flist.peers import NoPeers, OnePeer

LAYER = tar(
    directory("d"),
    member("d/setuid", b"#!", mode=0o4755),
    member("d/large", os.urandom(40_000) * 60),
)


def ignore(progress: Progress) -> None:
    """For work whose progress is of no interest."""


@pytest.fixture
async def made(service: FlistService, canary: Path) -> FlistId:
    layout = write_layout(canary / "layout", [LAYER], config={"Cmd": ["/d/setuid"]})
    return (await service.convert(f"oci:{layout}", ignore)).flist


class Here:
    """A second node that can fetch from the first."""

    def __init__(self, theirs: MemoryChunkStore, directory: Path) -> None:
        self.chunks = MemoryChunkStore()
        self.peer = OnePeer(theirs, self.chunks)
        self.service = FlistService(self.chunks, self.peer, directory)

    async def prepare(self, flist: FlistId) -> Image:
        return await self.service.prepare(flist, (), ignore)


@pytest.fixture
async def here(chunks: MemoryChunkStore, canary: Path) -> Here:
    here = Here(chunks, canary / "here")
    await here.service.recover()
    return here


async def test_an_flist_moves_from_node_to_node(made: FlistId, here: Here) -> None:
    image = await here.prepare(made)

    assert (image.root / "d" / "large").stat().st_size == 2_400_000
    assert (image.root / "d" / "setuid").stat().st_mode & 0o7777 == 0o4755
    assert image.config.command == ("/d/setuid",)
    assert here.chunks.pins(made) == (PIN_UNPACKED,)
    assert [one.flist for one in here.service.local()] == [made]


async def test_what_is_here_is_not_fetched_again(made: FlistId, here: Here, canary: Path) -> None:
    other = write_layout(canary / "other", [LAYER, tar(member("more", b"more"))])
    origin = FlistService(here.peer._theirs, NoPeers(), canary / "images")
    second = (await origin.convert(f"oci:{other}", ignore)).flist
    await here.prepare(made)
    before = len(here.peer.asked)

    await here.prepare(made)
    await here.prepare(second)

    assert before == 7  # five of the large file, the small one, the startup file
    assert len(here.peer.asked) == before + 2  # the new file, another startup file


async def test_many_who_ask_at_once_share_one_image(made: FlistId, here: Here) -> None:
    images: list[Image] = []

    async def ask() -> None:
        images.append(await here.prepare(made))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)

    assert len(images) == 5
    assert len({image.root for image in images}) == 1
    assert len(here.peer.asked) == len(set(here.peer.asked))


async def test_nobody_else_on_the_machine_can_run_setuid_programs_of_an_image(
    made: FlistId, here: Here, canary: Path
) -> None:
    await here.prepare(made)

    assert (canary / "here").stat().st_mode & 0o077 == 0


async def test_a_flist_that_is_not_what_was_asked_for_is_refused(
    made: FlistId, here: Here, chunks: MemoryChunkStore, canary: Path
) -> None:
    data = bytearray(chunks._flists[made])
    data[-1] ^= 1
    chunks._flists[made] = bytes(data)

    with pytest.raises(BadImage, match="another hash"):
        await here.prepare(made)

    assert here.chunks.flists() == ()
    assert list((canary / "here").iterdir()) == []


@pytest.mark.parametrize("bit", [0, 500, 5000])
async def test_a_chunk_with_a_flipped_bit_is_never_unpacked(
    bit: int, made: FlistId, service: FlistService, chunks: MemoryChunkStore, canary: Path
) -> None:
    """Even when it is in our own store, where nothing wrong should ever get in."""
    chunk = max(chunks._chunks, key=lambda one: len(chunks._chunks[one]))
    data = bytearray(chunks._chunks[chunk])
    data[bit // 8] ^= 1 << bit % 8
    chunks._chunks[chunk] = bytes(data)

    with pytest.raises(BadImage, match="damaged"):
        await service.prepare(made, (), ignore)

    assert list((canary / "images").iterdir()) == []


async def test_a_chunk_that_nobody_has_is_said_and_leaves_nothing(
    made: FlistId, here: Here, chunks: MemoryChunkStore, canary: Path
) -> None:
    chunks._chunks.popitem()

    with pytest.raises(NotFound):
        await here.prepare(made)

    assert list((canary / "here").iterdir()) == []


async def test_what_a_crash_left_is_removed(made: FlistId, here: Here, canary: Path) -> None:
    (canary / "here" / "partial-old" / "done" / "root").mkdir(parents=True)
    await here.prepare(made)

    await here.service.recover()

    assert [path.name for path in (canary / "here").iterdir()] == [made.hex()]


async def test_a_released_image_is_gone_and_comes_back_without_peers(
    made: FlistId, here: Here, canary: Path
) -> None:
    await here.prepare(made)
    asked = len(here.peer.asked)

    await here.service.release(made)

    assert list((canary / "here").iterdir()) == []
    assert here.chunks.pins(made) == ()
    assert (await here.prepare(made)).root.is_dir()
    assert len(here.peer.asked) == asked


async def test_releasing_what_is_not_here_is_fine(here: Here, made: FlistId) -> None:
    await here.service.release(made)

    assert here.service.local() == []


async def test_a_converted_flist_is_kept(made: FlistId, chunks: MemoryChunkStore) -> None:
    assert chunks.pins(made) == (PIN_CONVERTED,)


class FullStore(MemoryChunkStore):
    """A store on a full disk."""

    async def put(self, blobs: Sequence[Blob]) -> None:
        await trio.lowlevel.checkpoint()
        raise StoreFailed("no space left on device")


async def test_a_full_disk_ends_a_conversion_with_its_reason(canary: Path) -> None:
    service = FlistService(FullStore(), NoPeers(), canary / "images")
    await service.recover()
    layout = write_layout(canary / "layout", [LAYER])

    with pytest.raises(StoreFailed, match="no space"):
        await service.convert(f"oci:{layout}", ignore)


async def test_a_conversion_can_be_cancelled(service: FlistService, canary: Path) -> None:
    layout = write_layout(canary / "layout", [LAYER] * 3, compress="plain")

    with trio.CancelScope() as scope:
        await service.convert(f"oci:{layout}", lambda progress: scope.cancel())

    assert scope.cancelled_caught
    assert service.local() == []
