"""Images that are brought here chunk by chunk, from all who hold them: for containers, for people.

What people ask for is pinned before its first chunk comes, so that what has come
stays, and goes on after a restart:

    pulling   all of it is to come; afterwards it is a cache, until its room is needed
    seeding   all of it is to come, and to stay
    seeded    all of it is here and stays: it is served to whoever wants it
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import trio

from p2pgrid.chunks.chunk_store import ChunkStore
from p2pgrid.chunks.download import Progress as Fetched
from p2pgrid.chunks.wanted import Urgency
from p2pgrid.errors import BadImage, StoreFailed
from p2pgrid.flist.fetching import Fetch, OnProgress, fetch_progress
from p2pgrid.flist.fl_reader import Flist, decode_flist
from p2pgrid.flist.tree import chunk_ids
from p2pgrid.flist.tree_room import DiskShare, need_of
from p2pgrid.limits.flist import DISK_RESERVE_BYTES
from p2pgrid.model.flist import flist_id
from p2pgrid.model.ids import ChunkId, FlistId, NodeId, short
from p2pgrid.units import format_bytes

log = logging.getLogger(__name__)

PIN_PULLING = "pulling"
PIN_SEEDING = "seeding"
PIN_SEEDED = "seeded"

PARTIAL_PINS = frozenset({PIN_PULLING, PIN_SEEDING})
"""Reasons why an flist is kept that do not say that all of its chunks are here."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """An flist of which every chunk is here."""

    flist: FlistId
    content_bytes: int
    chunk_count: int
    given_bytes: Mapping[NodeId, int]
    """What came from whom; nothing of what was here already."""


class Pulls:
    """Brings images here."""

    def __init__(self, chunks: ChunkStore, fetch: Fetch, share: DiskShare) -> None:
        self._chunks = chunks
        self._fetch = fetch
        self._share = share

    # --- parts of it ------------------------------------------------------------------------------

    async def data(self, flist: FlistId, holders: Sequence[NodeId]) -> bytes:
        """The `.fl` file from here or from a holder; what comes is verified, and not kept.

        Raises NotFound, Unreachable, BadImage.
        """
        if self._chunks.flist_bytes(flist) is not None:
            return await self._chunks.get_flist(flist)
        data = await self._fetch.fetch_flist(flist, holders)
        if flist_id(data) != flist:
            raise BadImage(f"flist {short(flist)} is damaged: its bytes have another hash")
        return data

    async def bring_tree(self, flist: FlistId, holders: Sequence[NodeId]) -> Flist:
        """The tree of an flist, whose file is here from now on. Raises like `data`."""
        is_here = self._chunks.flist_bytes(flist) is not None
        data = await self.data(flist, holders)
        tree = await trio.to_thread.run_sync(decode_flist, data)
        if not is_here:
            await self._chunks.put_flist(flist, data)
        return tree

    async def bring_chunks(
        self, flist: FlistId, tree: Flist, holders: Sequence[NodeId], on_progress: OnProgress
    ) -> Mapping[NodeId, int]:
        """Have every chunk of a tree here, in the order in which they will be read.

        Gives who sent how many bytes. Raises NotFound, Unreachable, StoreFailed.
        """

        def on_chunks(told: Fetched) -> None:
            on_progress(fetch_progress(told, tree.content_bytes))

        wanted = await trio.to_thread.run_sync(self._missing, tree)
        if not wanted:
            return {}
        return await self._fetch.fetch_chunks(flist, wanted, holders, on_chunks, Urgency.LATER)

    def _missing(self, tree: Flist) -> list[ChunkId]:
        return [chunk for chunk in chunk_ids(tree.root) if not self._chunks.has(chunk)]

    # --- for people -------------------------------------------------------------------------------

    async def pull(
        self,
        flist: FlistId,
        holders: Sequence[NodeId],
        on_progress: OnProgress,
        *,
        is_seeded: bool,
    ) -> Pulled:
        """Bring all of an image here; goes on after a restart of the node, until `give_up`.

        Args:
            flist: which.
            holders: who may have any part of it, the best first.
            on_progress: told how far it is.
            is_seeded: whether it is to stay, and to be served as a whole.

        Raises:
            NotFound, Unreachable: no holder gave all of it.
            BadImage: it is broken.
            StoreFailed: there is no room for it, or the disk refused.
        """
        wish = PIN_SEEDING if is_seeded else PIN_PULLING
        tree = await self.bring_tree(flist, holders)
        await self._chunks.pin(flist, wish)
        if self._chunks.flist_bytes(flist) is None:  # somebody had no use for it until then
            tree = await self.bring_tree(flist, holders)
        with self._chunks.hold(await trio.to_thread.run_sync(chunk_ids, tree.root)):
            await self._require_room(tree)
            given_bytes = await self.bring_chunks(flist, tree, holders, on_progress)
            if is_seeded and wish in self._chunks.pins(flist):
                await self._chunks.pin(flist, PIN_SEEDED)
            await self._chunks.unpin(flist, wish)
        chunk_count = len(set(chunk_ids(tree.root)))
        log.info("flist %s is here, all %d chunks", short(flist), chunk_count)
        return Pulled(flist, tree.content_bytes, chunk_count, given_bytes)

    async def give_up(self, flist: FlistId) -> bool:
        """Want and seed an image no more; gives whether it was. What is here is a cache.

        Raises StoreFailed.
        """
        return await self._unpin(flist, (PIN_PULLING, PIN_SEEDING, PIN_SEEDED))

    async def abandon(self, flist: FlistId) -> None:
        """Want no more of it than is here. Raises StoreFailed."""
        await self._unpin(flist, PARTIAL_PINS)

    async def _unpin(self, flist: FlistId, names: Iterable[str]) -> bool:
        going = set(names).intersection(self._chunks.pins(flist))
        for name in sorted(going):
            await self._chunks.unpin(flist, name)
        if going and not self._chunks.pins(flist):
            await self._chunks.remove_flist(flist)
        return bool(going)

    def unfinished(self) -> dict[FlistId, bool]:
        """What was asked for and is not here as a whole; whether it is to be seeded.

        Right only while nothing is being pulled: after a start.
        """
        return {
            flist: PIN_SEEDING in pins
            for flist in self._chunks.flists()
            if PARTIAL_PINS.intersection(pins := self._chunks.pins(flist))
        }

    def is_wanted(self, flist: FlistId) -> bool:
        """Whether somebody still asks for an image that is not here as a whole."""
        return bool(PARTIAL_PINS.intersection(self._chunks.pins(flist)))

    async def _require_room(self, tree: Flist) -> None:
        need = await trio.to_thread.run_sync(need_of, tree, self._chunks.has)
        needed_bytes = need.chunk_bytes + DISK_RESERVE_BYTES
        await self._share.make_room(needed_bytes)
        if self._share.free_bytes() < needed_bytes:
            raise StoreFailed(
                f"there is no room for an image of {format_bytes(need.chunk_bytes)} in chunks"
            )
