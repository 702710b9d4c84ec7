"""Chunks and flists between peers: serves ours, fetches what we lack.

Whatever comes is hashed before it is stored, and durable before it counts.
"""

import logging
from collections.abc import Callable, Sequence

import trio

from p2pgrid.chunks.chunk_store import ChunkStore
from p2pgrid.chunks.download import Download
from p2pgrid.chunks.messages import Answer, Body, FlistAnswer, FlistRequest, Request
from p2pgrid.chunks.serving import ChunkServer
from p2pgrid.chunks.swarm import Progress, Swarm
from p2pgrid.errors import BrokenProtocol, GridError, NotFound, StoreFailed, Unreachable
from p2pgrid.limits.chunks import (
    FLIST_HEDGE_SECONDS,
    HOLDER_SILENCE_SECONDS_MAX,
    HOLDERS_AT_ONCE_MAX,
)
from p2pgrid.model.ids import ChunkId, FlistId, NodeId, short
from p2pgrid.net.network import BulkStream, Network
from p2pgrid.net.scopes import bare_errors
from p2pgrid.wire.codec import decode, encode

log = logging.getLogger(__name__)


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
            holders: who may have them, the best first; each may have any part.
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
        race = _FlistRace(self._network, self._chunks, flist)
        with bare_errors():
            return await race.run(self._others(holders)[:HOLDERS_AT_ONCE_MAX])

    def _others(self, holders: Sequence[NodeId]) -> list[NodeId]:
        return [holder for holder in dict.fromkeys(holders) if holder != self._network.id]


class _FlistRace:
    """Asks one holder after the other, the next one without waiting for a slow one."""

    def __init__(self, network: Network, chunks: ChunkStore, flist: FlistId) -> None:
        self._network = network
        self._chunks = chunks
        self._flist = flist
        self._data: bytes | None = None
        self._error: StoreFailed | None = None
        self._failures: dict[NodeId, GridError] = {}

    async def run(self, holders: Sequence[NodeId]) -> bytes:
        """The first that is what its id says, stored. Raises NotFound, Unreachable, StoreFailed."""
        async with trio.open_nursery() as nursery:
            for holder in holders:
                ended = trio.Event()
                nursery.start_soon(self._attempt, nursery, holder, ended)
                with trio.move_on_after(FLIST_HEDGE_SECONDS):
                    await ended.wait()
        if self._error is not None:
            raise self._error
        if self._data is not None:
            return self._data
        reasons = "; ".join(f"{short(node)}: {error}" for node, error in self._failures.items())
        message = f"nobody gives flist {short(self._flist)}: {reasons or 'no holder is known'}"
        if any(isinstance(error, Unreachable) for error in self._failures.values()):
            raise Unreachable(message)
        raise NotFound(message)

    async def _attempt(self, nursery: trio.Nursery, holder: NodeId, ended: trio.Event) -> None:
        try:
            data = await self._fetch(holder)
            await self._chunks.put_flist(self._flist, data)
        except StoreFailed as error:
            self._error = error
            nursery.cancel_scope.cancel()
            return
        except GridError as error:
            log.info(
                "fetching flist %s from %s failed: %s", short(self._flist), short(holder), error
            )
            self._failures[holder] = error
            ended.set()
            return
        self._data = data
        nursery.cancel_scope.cancel()

    async def _fetch(self, holder: NodeId) -> bytes:
        """What one holder gives for the flist."""
        with trio.move_on_after(HOLDER_SILENCE_SECONDS_MAX) as silence:
            stream = await self._network.open_bulk(holder)
            try:
                await stream.send(encode(Request(FlistRequest(self._flist))))
                return await self._receive(stream, silence)
            finally:
                await stream.aclose()
        raise Unreachable("was silent for too long")

    async def _receive(self, stream: BulkStream, silence: trio.CancelScope) -> bytes:
        answer = decode(Answer, await stream.receive()).what
        if not isinstance(answer, FlistAnswer):
            raise BrokenProtocol("chunks where an flist was asked for")
        if not answer.body_bytes:
            raise NotFound("does not have it")
        body = Body(answer.body_bytes)
        while not body.is_complete:
            silence.deadline = trio.current_time() + HOLDER_SILENCE_SECONDS_MAX
            body.feed(await stream.receive())
        return body.whole()
