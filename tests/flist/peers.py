"""Stand-ins for the exchange of chunks between peers."""

from collections.abc import Callable, Mapping, Sequence

import trio

from p2pgrid.chunks.chunk_store import Blob, ChunkStore
from p2pgrid.chunks.download import Progress
from p2pgrid.chunks.wanted import Urgency
from p2pgrid.errors import NotFound
from p2pgrid.model.ids import ChunkId, FlistId, NodeId


class NoPeers:
    """Nobody has anything."""

    async def fetch_flist(self, flist: FlistId, holders: Sequence[NodeId]) -> bytes:
        raise NotFound("no peer has it")

    async def fetch_chunks(
        self,
        flist: FlistId,
        wanted: Sequence[ChunkId],
        holders: Sequence[NodeId],
        on_progress: Callable[[Progress], None],
        urgency: Urgency,
    ) -> Mapping[NodeId, int]:
        raise NotFound("no peer has it")


class OnePeer:
    """Copies from the store of one peer into ours; `asked` are the chunks that moved."""

    def __init__(self, theirs: ChunkStore, ours: ChunkStore) -> None:
        self._theirs = theirs
        self._ours = ours
        self.asked: list[ChunkId] = []

    async def fetch_flist(self, flist: FlistId, holders: Sequence[NodeId]) -> bytes:
        return await self._theirs.get_flist(flist)

    async def fetch_chunks(
        self,
        flist: FlistId,
        wanted: Sequence[ChunkId],
        holders: Sequence[NodeId],
        on_progress: Callable[[Progress], None],
        urgency: Urgency,
    ) -> Mapping[NodeId, int]:
        await trio.lowlevel.checkpoint()
        for number, chunk in enumerate(wanted):
            self.asked.append(chunk)
            await self._ours.put([Blob(chunk, await self._theirs.get(chunk))])
            on_progress(Progress(number + 1, len(wanted), 0, peer_count=1))
        return {NodeId(bytes(32)): len(wanted)}
