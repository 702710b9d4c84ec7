"""Chunks and flists between peers: serves ours, fetches what we lack.

Whatever comes is hashed before it is stored, and durable before it counts.
"""

from collections.abc import Callable, Sequence

from p2pgrid.chunks.chunk_store import ChunkStore
from p2pgrid.chunks.download import Download
from p2pgrid.chunks.flist_race import FlistRace
from p2pgrid.chunks.serving import ChunkServer
from p2pgrid.chunks.swarm import Progress, Swarm
from p2pgrid.limits.chunks import HOLDERS_TRIED_MAX
from p2pgrid.model.ids import ChunkId, FlistId, NodeId
from p2pgrid.net.network import Network
from p2pgrid.net.scopes import bare_errors


def _ignore(_progress: Progress) -> None:
    """For callers who do not watch."""


class ChunkExchange:
    """A node's share in the exchange of chunks. Serves from its construction on."""

    def __init__(self, network: Network, chunks: ChunkStore) -> None:
        self._network = network
        self._chunks = chunks
        network.serve_bulk(ChunkServer(chunks).serve)

    async def fetch_chunks(
        self,
        wanted: Sequence[ChunkId],
        holders: Sequence[NodeId],
        on_progress: Callable[[Progress], None] = _ignore,
    ) -> None:
        """Have every chunk of `wanted` in our store; only those move that are not there yet.

        Args:
            wanted: asked for in about this order.
            holders: who may have them, the best first; each may have any part. Of more than
                HOLDERS_TRIED_MAX, the first are asked.
            on_progress: told what is stored of what was missing, at the start too.

        Raises:
            NotFound: no holder has some chunk; says which, and what each did.
            Unreachable: the same, and some holder did not answer.
            StoreFailed: the disk refused. What came before stays.
        """
        missing = [chunk for chunk in wanted if not self._chunks.has(chunk)]
        swarm = Swarm(missing, self._others(holders))
        with bare_errors():
            await Download(self._network, self._chunks, swarm, on_progress).run()

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
