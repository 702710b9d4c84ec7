"""Chunks and flists between peers: serves ours, fetches what we lack.

Whatever comes is hashed before it is stored, and durable before it counts.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import trio

from p2pgrid.chunks.chunk_store import ChunkStore
from p2pgrid.chunks.download import Download, OnProgress, Progress
from p2pgrid.chunks.flist_race import FlistRace
from p2pgrid.chunks.serving import ChunkServer
from p2pgrid.chunks.wanted import Urgency
from p2pgrid.limits.chunks import HOLDERS_TRIED_MAX
from p2pgrid.model.ids import ChunkId, FlistId, NodeId
from p2pgrid.net.network import Network
from p2pgrid.net.scopes import bare_errors


def _ignore(_progress: Progress) -> None:
    """For callers who do not watch."""


@asynccontextmanager
async def open_exchange(network: Network, chunks: ChunkStore) -> AsyncGenerator["ChunkExchange"]:
    """A node's share in the exchange of chunks, during the block; it serves from then on."""
    with bare_errors():
        async with trio.open_nursery() as nursery:
            try:
                yield ChunkExchange(network, chunks, nursery)
            finally:
                nursery.cancel_scope.cancel()


class ChunkExchange:
    """Serves, and runs one transfer for each image that is being fetched."""

    def __init__(self, network: Network, chunks: ChunkStore, nursery: trio.Nursery) -> None:
        self._network = network
        self._chunks = chunks
        self._nursery = nursery
        self._downloads: dict[FlistId, Download] = {}
        network.serve_bulk(ChunkServer(chunks).serve)

    async def fetch_chunks(
        self,
        flist: FlistId,
        wanted: Sequence[ChunkId],
        holders: Sequence[NodeId],
        on_progress: OnProgress = _ignore,
        urgency: Urgency = Urgency.LATER,
    ) -> Counter[NodeId]:
        """Have every chunk of `wanted` in our store; only those move that are not there yet.

        Args:
            flist: what they are chunks of. All who fetch of one flist share its transfer.
            wanted: asked for in about this order.
            holders: who may have them, the best first; each may have any part. Of more than
                HOLDERS_TRIED_MAX, the first are asked.
            on_progress: told what is stored of what was missing, at the start too.
            urgency: what is needed now goes before what is needed later.

        Returns:
            How many bytes of it each holder sent.

        Raises:
            NotFound: no holder has some chunk; says which, and what each did.
            Unreachable: the same, and some holder did not answer.
            StoreFailed: the disk refused. What came before stays.
        """
        download = self._downloads.get(flist)
        if download is None or download.is_over:
            download = self._downloads[flist] = Download(self._network, self._chunks)
            self._nursery.start_soon(self._run, flist, download)
        return await download.fetch(wanted, self._others(holders), urgency, on_progress)

    async def _run(self, flist: FlistId, download: Download) -> None:
        await download.run()
        if self._downloads.get(flist) is download:
            del self._downloads[flist]

    async def fetch_flist(self, flist: FlistId, holders: Sequence[NodeId]) -> bytes:
        """A `.fl` file, from our store or into it.

        Raises:
            NotFound: no holder has it; says what each did.
            Unreachable: the same, and some holder did not answer.
            StoreFailed: the disk refused.
        """
        if self._chunks.flist_bytes(flist) is not None:
            return await self._chunks.get_flist(flist)
        race = FlistRace(self._network, self._chunks, flist)
        with bare_errors():
            return await race.run(self._others(holders))

    def _others(self, holders: Sequence[NodeId]) -> list[NodeId]:
        others = [holder for holder in dict.fromkeys(holders) if holder != self._network.id]
        return others[:HOLDERS_TRIED_MAX]
