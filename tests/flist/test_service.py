"""An flist is brought here, verified and unpacked, whole or not at all."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from p2pgrid.chunks.chunk_store import Blob
from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.errors import BadImage, NotFound, StoreFailed
from p2pgrid.flist.blocks import encode_block
from p2pgrid.flist.fetching import Progress
from p2pgrid.flist.fl import encode_flist
from p2pgrid.flist.service import PIN_CONVERTED, PIN_UNPACKED, FlistService, Image
from p2pgrid.flist.tree import Entry
from p2pgrid.flist.tree import directory as empty_root
from p2pgrid.flist.tree_room import DiskShare
from p2pgrid.limits.chunks import CHUNK_BYTES
from p2pgrid.limits.flist import DISK_RESERVE_BYTES
from p2pgrid.model.flist import flist_id
from p2pgrid.model.ids import FlistId, NodeId
from p2pgrid.units import GIB, MIB
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
        self.budget_bytes = self.free_bytes = 1 << 40
        self.used: set[FlistId] = set()
        self.directory = directory
        self.restart()

    def restart(self) -> None:
        share = DiskShare(lambda _: self.budget_bytes, lambda: self.free_bytes, lambda: self.used)
        self.service = FlistService(self.chunks, self.peer, self.directory, share=share)

    def trees(self) -> set[str]:
        """What is under the directory of images."""
        return {one.name for one in self.directory.iterdir()}

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


async def bomb(chunks: MemoryChunkStore, size_bytes: int, salt: bytes = b"") -> FlistId:
    """A small flist whose one file repeats one chunk."""
    block, blob = encode_block(b"\xaa" * CHUNK_BYTES)
    await chunks.put([Blob(block.id, blob)])
    root = empty_root()
    count = size_bytes // CHUNK_BYTES
    root.children[b"bomb"] = Entry(
        mode=stat.S_IFREG | 0o644, size=count * CHUNK_BYTES, blocks=[block] * count
    )
    root.children[b"salt"] = Entry(mode=stat.S_IFLNK | 0o777, target=b"salt" + salt)
    data = encode_flist(root, {})
    await chunks.put_flist(flist_id(data), data)
    return flist_id(data)


@pytest.mark.parametrize("lacks", ["budget", "disk"])
async def test_an_image_without_room_is_refused_before_its_chunks_come_and_leaves_nothing(
    lacks: str, here: Here, chunks: MemoryChunkStore
) -> None:
    large = await bomb(chunks, 2 * GIB)
    if lacks == "budget":
        here.budget_bytes = GIB
    else:
        here.free_bytes = GIB

    with pytest.raises(StoreFailed, match=r"2 GiB.*keeps .* GiB.* are free"):
        await here.prepare(large)

    assert here.peer.asked == []
    assert here.chunks.flists() == ()
    assert here.trees() == set()


async def test_a_reserve_of_the_disk_stays_free(here: Here, chunks: MemoryChunkStore) -> None:
    image = await bomb(chunks, 2 * MIB)
    here.free_bytes = DISK_RESERVE_BYTES + 2 * MIB
    with pytest.raises(StoreFailed, match="no room"):
        await here.prepare(image)

    here.free_bytes += 2 * MIB
    assert (await here.prepare(image)).root.is_dir()


async def test_the_least_lately_used_trees_make_room_and_those_in_use_stay(
    here: Here, chunks: MemoryChunkStore
) -> None:
    first, second, third, fourth = [await bomb(chunks, 4 * MIB, bytes((65 + n,))) for n in range(4)]
    here.budget_bytes = 9 * MIB
    await here.prepare(first)
    await here.prepare(second)
    await here.prepare(first)
    await here.prepare(third)
    assert here.trees() == {first.hex(), third.hex()}
    assert here.chunks.flists() == tuple(sorted((first, third)))

    here.used = {first}
    await here.prepare(fourth)
    assert here.trees() == {first.hex(), fourth.hex()}

    here.used = {first, fourth}
    with pytest.raises(StoreFailed, match=r"8.* MiB are in use"):
        await here.prepare(second)
    assert here.trees() == {first.hex(), fourth.hex()}


async def test_what_is_here_counts_after_a_start_in_the_order_of_its_use(
    here: Here, chunks: MemoryChunkStore
) -> None:
    first, second, third = [await bomb(chunks, 4 * MIB, bytes((65 + n,))) for n in range(3)]
    await here.prepare(first)
    await here.prepare(second)
    await here.prepare(first)
    here.restart()
    await here.service.recover()

    here.budget_bytes = 9 * MIB
    await here.prepare(third)

    assert here.trees() == {first.hex(), third.hex()}


async def test_images_that_come_at_the_same_time_share_the_room(
    here: Here, chunks: MemoryChunkStore
) -> None:
    several = [await bomb(chunks, 4 * MIB, bytes((65 + n,))) for n in range(4)]
    here.budget_bytes = 9 * MIB
    refused = []

    async def ask(flist: FlistId) -> None:
        try:
            await here.prepare(flist)
        except StoreFailed:
            refused.append(flist)

    async with trio.open_nursery() as nursery:
        for flist in several:
            nursery.start_soon(ask, flist)

    assert len(here.trees()) <= 2
    assert len(refused) <= 2


async def test_a_refused_flist_that_was_stored_is_removed_again(here: Here) -> None:
    """The exchange stores a file before anybody has looked into it."""
    hostile = b"SQLite format 3\0 and then nothing"
    flist = flist_id(hostile)

    class Storing(OnePeer):
        async def fetch_flist(self, flist: FlistId, holders: Sequence[NodeId]) -> bytes:
            await here.chunks.put_flist(flist, hostile)
            return hostile

    here.peer = Storing(here.chunks, here.chunks)
    here.restart()
    with pytest.raises(BadImage):
        await here.prepare(flist)
    assert here.chunks.flists() == ()


async def test_an_image_that_was_given_up_leaves_nothing_and_takes_no_room(
    here: Here, made: FlistId
) -> None:
    with trio.CancelScope() as scope:
        await here.service.prepare(made, (), lambda _: scope.cancel())
    assert scope.cancelled_caught
    assert here.chunks.flists() == ()
    assert here.trees() == set()

    here.budget_bytes = 3 * MIB
    assert (await here.prepare(made)).root.is_dir()


async def test_what_a_refused_image_is_kept_for_otherwise_stays(
    service: FlistService, chunks: MemoryChunkStore, made: FlistId
) -> None:
    chunks._chunks.clear()
    with pytest.raises(NotFound):
        await service.prepare(made, (), ignore)
    assert chunks.flists() == (made,)
    assert chunks.pins(made) == (PIN_CONVERTED,)


async def test_pins_without_a_tree_and_files_without_a_pin_go_at_a_start(
    here: Here, made: FlistId, chunks: MemoryChunkStore
) -> None:
    await here.chunks.put_flist(made, await chunks.get_flist(made))
    await here.chunks.pin(made, PIN_UNPACKED)
    await here.service.recover()
    assert here.chunks.pins(made) == ()
    assert here.chunks.flists() == ()
