"""Flists on this node: made from images, brought here from peers, unpacked for containers.

    <directory>/<flist id>/root          the unpacked tree, complete since it has this name
    <directory>/<flist id>/config.json   what the image says about how it is run
    <directory>/partial-…                work under way; useless after a crash, removed by `recover`

A tree that no container uses stays until its room is needed. The time of `config.json` is that
of the last use.

The directory is private: images hold setuid programs that nobody else on this machine may run.
"""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import trio

from p2pgrid.chunks.chunk_store import Blob, ChunkStore
from p2pgrid.durable import sync_directory
from p2pgrid.errors import GridError, StoreFailed
from p2pgrid.flist.convert import Converted, convert_layers, finish
from p2pgrid.flist.directory import read_directory
from p2pgrid.flist.fetching import Fetch, OnProgress, Progress, bring_blobs
from p2pgrid.flist.fl import TAG_CONFIG
from p2pgrid.flist.fl_reader import Flist, decode_flist
from p2pgrid.flist.image_config import image_config
from p2pgrid.flist.opening import open_image
from p2pgrid.flist.packing import Packer
from p2pgrid.flist.pulls import PARTIAL_PINS, Pulls
from p2pgrid.flist.reading import BlockReader
from p2pgrid.flist.sources import Source
from p2pgrid.flist.tree import chunk_ids
from p2pgrid.flist.tree_room import DiskShare, TreeRoom, need_of
from p2pgrid.flist.unpack import remove_tree, tree_disk_bytes, unpack
from p2pgrid.flist.verification import Verdict, verify_blocks
from p2pgrid.limits.flist import PROGRESS_BYTES
from p2pgrid.model.ids import ChunkId, FlistId, NodeId, short
from p2pgrid.model.image import ImageConfig

log = logging.getLogger(__name__)

PIN_CONVERTED = "converted"
"""Why an flist is kept: it was made here."""

PIN_UNPACKED = "unpacked"
"""Why an flist is kept: containers run from its tree."""

_PARTIAL = "partial-"
_CONFIG_FILE = "config.json"


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is ready to run."""

    root: Path
    """Its tree: complete, verified, never to be written to."""
    config: ImageConfig


@dataclass(frozen=True, slots=True)
class LocalFlist:
    """An flist that is here."""

    flist: FlistId
    flist_bytes: int
    pins: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every chunk of it is here and stays."""
        return not PARTIAL_PINS.issuperset(self.pins)


class FlistService:
    """Converts, fetches and unpacks. Call `recover` once before anything else."""

    def __init__(
        self,
        chunks: ChunkStore,
        fetch: Fetch,
        directory: Path,
        *,
        share: DiskShare | None = None,
    ) -> None:
        self._chunks = chunks
        self._fetch = fetch
        self._directory = directory
        self._share = share or DiskShare()
        self.pulls = Pulls(chunks, fetch, self._share)
        """What people ask for, beside what containers need."""
        self._room = TreeRoom()
        self._making_room = trio.Lock()
        self._preparing: dict[FlistId, trio.Lock] = {}

    async def recover(self) -> None:
        """Make the directory, and remove what a crash left half done."""
        self._room.held = await trio.to_thread.run_sync(self._recover)
        for flist in self._chunks.flists():
            if flist not in self._room.held:
                await self._chunks.unpin(flist, PIN_UNPACKED)
            if not self._chunks.pins(flist):
                await self._chunks.remove_flist(flist)

    def _recover(self) -> dict[FlistId, int]:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory.chmod(0o700)
        for left in self._directory.glob(f"{_PARTIAL}*"):
            remove_tree(left)
        found = sorted(
            self._directory.glob(f"*/{_CONFIG_FILE}"), key=lambda one: one.stat().st_mtime_ns
        )
        return {
            FlistId(bytes.fromhex(one.parent.name)): tree_disk_bytes(one.parent) for one in found
        }

    # --- making -------------------------------------------------------------------------------

    async def convert(self, source: str, on_progress: OnProgress) -> Converted:
        """Turn an image into an flist whose chunks are here, durable on return.

        Raises:
            BadInput, BadImage, NotFound: the source makes no sense, is broken, does not exist.
            Unreachable: the registry does not answer.
            StoreFailed: the disk refused.
        """
        parsed = Source.parse(source)
        with self._chunks.hold():
            made = await trio.to_thread.run_sync(
                self._convert, parsed, _throttled("convert", on_progress)
            )
            await self._chunks.put_flist(made.flist, made.data)
            await self._chunks.pin(made.flist, PIN_CONVERTED)
        log.info("%s is flist %s, %d chunks", source, short(made.flist), made.chunk_count)
        return made

    def _convert(self, source: Source, on_bytes: Callable[[int, int], None]) -> Converted:
        def put(blobs: Sequence[Blob]) -> None:
            trio.from_thread.run(self._chunks.put, blobs)

        if source.kind == "dir":
            with Packer(put) as packer:
                root = read_directory(Path(source.rest), packer, on_bytes).root
            return finish(root, None)
        with open_image(source) as image:
            with Packer(put) as packer:
                root, kept = convert_layers(image, packer, on_bytes)
            return finish(root, kept)

    # --- what is here -------------------------------------------------------------------------

    def local(self) -> list[LocalFlist]:
        """Flists whose `.fl` file is here."""
        return [
            LocalFlist(flist, self._chunks.flist_bytes(flist) or 0, self._chunks.pins(flist))
            for flist in self._chunks.flists()
        ]

    async def data(self, flist: FlistId, holders: Sequence[NodeId]) -> bytes:
        """The `.fl` file from here or from a holder. Raises NotFound, Unreachable, BadImage."""
        return await self.pulls.data(flist, holders)

    def tree_bytes(self) -> int:
        """What unpacked trees take of the disk."""
        return sum(self._room.held.values())

    async def read(self, flist: FlistId) -> Flist:
        """The tree of an flist that is here. Raises NotFound, BadImage."""
        data = await self._chunks.get_flist(flist)
        return await trio.to_thread.run_sync(decode_flist, data)

    async def blobs(
        self, flist: FlistId, chunks: Sequence[ChunkId], holders: Sequence[NodeId]
    ) -> tuple[bytes, ...]:
        """Chunks from here or from a holder. Raises NotFound, Unreachable, StoreFailed."""
        return await bring_blobs(flist, chunks, holders, self._chunks, self._fetch)

    async def verify(self, flist: FlistId, on_progress: OnProgress) -> Verdict:
        """Read and open every chunk of an flist that is here. Raises NotFound, BadImage."""

        def on_bytes(done: int, total: int) -> None:
            on_progress(Progress("verify", done, total))

        return await verify_blocks((await self.read(flist)).root, self._chunks, on_bytes)

    # --- running ------------------------------------------------------------------------------

    async def prepare(
        self, flist: FlistId, holders: Sequence[NodeId], on_progress: OnProgress
    ) -> Image:
        """Bring an image here and unpack it, or find it here. Shared by all who ask.

        Raises:
            NotFound, Unreachable: no holder gave all of it.
            BadImage: it is broken or hostile.
            StoreFailed: there is no room for it, or the disk refused. Nothing of it stays.
        """
        async with self._preparing.setdefault(flist, trio.Lock()):
            place = self._directory / flist.hex()
            if not place.exists():
                try:
                    await self._bring(flist, holders, on_progress)
                except BaseException:
                    with trio.CancelScope(shield=True):
                        await self._clean_up(flist)
                    raise
                finally:
                    self._room.coming.pop(flist, None)
            self._room.use(flist)
            return await trio.to_thread.run_sync(_open_tree, place)

    async def release(self, flist: FlistId) -> None:
        """Remove the unpacked tree: no container uses it any more. Chunks stay until gc."""
        async with self._preparing.setdefault(flist, trio.Lock()):
            await self._release(flist)

    async def _release(self, flist: FlistId) -> None:
        await trio.to_thread.run_sync(self._remove, flist)
        self._room.held.pop(flist, None)
        await self._chunks.unpin(flist, PIN_UNPACKED)

    async def _forget(self, flist: FlistId) -> None:
        """Leave nothing of an image but what is kept for another reason."""
        await self._release(flist)
        if not self._chunks.pins(flist):
            await self._chunks.remove_flist(flist)

    async def _clean_up(self, flist: FlistId) -> None:
        """Forget what could not be brought here; why it could not matters more than this."""
        try:
            await self._forget(flist)
        except GridError as error:
            log.warning("something of image %s stays: %s", short(flist), error)

    async def _bring(
        self, flist: FlistId, holders: Sequence[NodeId], on_progress: OnProgress
    ) -> None:
        """Have the flist, room, every chunk and the tree, in this order."""
        tree = await self.pulls.bring_tree(flist, holders)
        with self._chunks.hold(await trio.to_thread.run_sync(chunk_ids, tree.root)):
            await self._make_room(flist, tree)
            await self.pulls.bring_chunks(flist, tree, holders, on_progress)
            await self._chunks.pin(flist, PIN_UNPACKED)
        self._room.held[flist] = await trio.to_thread.run_sync(
            self._unpack, flist, tree, _throttled("unpack", on_progress)
        )

    async def _make_room(self, flist: FlistId, tree: Flist) -> None:
        """Promise an image its room; trees that nobody uses go for it. Raises StoreFailed."""
        need = await trio.to_thread.run_sync(need_of, tree, self._chunks.has)
        await self._share.make_room(need.free_bytes)
        async with self._making_room:
            # From the question who is in use until all that go are locked, nothing waits:
            # a tree that is given out is in use before, or made anew afterwards.
            asked = {one for one, lock in self._preparing.items() if lock.locked()}
            evicted = self._room.to_evict(
                flist,
                need,
                budget_bytes=self._share.budget_bytes(self.tree_bytes()),
                free_bytes=self._share.free_bytes(),
                kept=asked.union(self._share.in_use()),
            )
            self._room.coming[flist] = need
            locks = [self._preparing.setdefault(other, trio.Lock()) for other in evicted]
            for lock in locks:
                lock.acquire_nowait()
            try:
                with trio.CancelScope(shield=True):
                    for other in evicted:
                        log.info("image %s makes room for %s", short(other), short(flist))
                        await self._forget(other)
            finally:
                for lock in locks:
                    lock.release()

    def _unpack(self, flist: FlistId, tree: Flist, on_bytes: Callable[[int, int], None]) -> int:
        """Unpack beside, then take the final name: it is there whole or not at all.

        Returns what it takes of the disk.
        """

        def get_many(chunks: Sequence[ChunkId]) -> Sequence[bytes | None]:
            return trio.from_thread.run(self._chunks.get_many, chunks)

        kept = tree.tags.get(TAG_CONFIG, "{}")
        image_config(kept)
        partial = self._partial()
        try:
            with BlockReader(tree.root, get_many, on_bytes) as reader:
                (partial / "done").mkdir(0o700)
                _write_durably(partial / "done" / _CONFIG_FILE, kept.encode())
                unpack(tree.root, partial / "done" / "root", reader.plain_bytes)
            taken_bytes = tree_disk_bytes(partial / "done")
            (partial / "done").rename(self._directory / flist.hex())
            sync_directory(self._directory)
        except OSError as error:
            raise StoreFailed(f"cannot unpack an image: {error.strerror}") from error
        finally:
            remove_tree(partial)
        return taken_bytes

    def _remove(self, flist: FlistId) -> None:
        """Give up the final name first, so that a crash leaves no half tree under it."""
        place = self._directory / flist.hex()
        if place.exists():
            partial = self._partial()
            place.rename(partial / "old")
            remove_tree(partial)

    def _partial(self) -> Path:
        """A new directory for work under way."""
        return Path(mkdtemp(prefix=_PARTIAL, dir=self._directory))


def _throttled(phase: str, on_progress: OnProgress) -> Callable[[int, int], None]:
    """For a worker thread: pass progress on to trio's, each PROGRESS_BYTES and at the end.

    Raises trio.Cancelled there when the caller was cancelled, which ends the work.
    """
    reported = -PROGRESS_BYTES

    def on_bytes(done: int, total: int) -> None:
        nonlocal reported
        trio.from_thread.check_cancelled()
        if done - reported >= PROGRESS_BYTES or (done == total and done > reported):
            reported = done
            trio.from_thread.run_sync(on_progress, Progress(phase, done, total))

    return on_bytes


def _open_tree(place: Path) -> Image:
    """The image that was unpacked there; it counts as used now."""
    config = place / _CONFIG_FILE
    os.utime(config)
    return Image(place / "root", image_config(config.read_text()))


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
