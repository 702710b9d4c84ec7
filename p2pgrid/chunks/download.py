"""The fetching side of the exchange: carries out what a `Swarm` decides.

One task for each holder that is asked; answers of all of them are hashed and
stored in worker threads while more arrive. Only this task tree touches the swarm.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

import trio

from p2pgrid.chunks.chunk_store import Blob, ChunkStore
from p2pgrid.chunks.messages import Answer, Body, ChunkAnswer, ChunkRequest, Request
from p2pgrid.chunks.swarm import Ask, Progress, Swarm
from p2pgrid.errors import BadChunk, BrokenProtocol, GridError, PeerError, Unreachable
from p2pgrid.limits.chunks import (
    HOLDER_SILENCE_SECONDS_MAX,
    STORING_ANSWERS_MAX,
    TRANSFER_TICK_SECONDS,
)
from p2pgrid.model.ids import NodeId, short
from p2pgrid.net.network import BulkStream, Network
from p2pgrid.wire.codec import decode, encode

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Link:
    """A connection to one holder, from the moment that it is wanted."""

    holder: NodeId
    asks: trio.MemorySendChannel[Ask]
    queue: trio.MemoryReceiveChannel[Ask]
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Its deadline is when silence becomes a failure: never while nothing is owed."""


class Download:
    """One transfer of chunks into a store."""

    def __init__(
        self,
        network: Network,
        chunks: ChunkStore,
        swarm: Swarm,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._network = network
        self._chunks = chunks
        self._swarm = swarm
        self._on_progress = on_progress
        self._links: dict[NodeId, _Link] = {}
        self._storing = trio.Semaphore(STORING_ANSWERS_MAX)
        self._changed = trio.Event()
        self._error: GridError | None = None

    async def run(self) -> None:
        """Return when everything is stored.

        Raises:
            NotFound: no holder has some chunk.
            Unreachable: no holder that might have it answers.
            StoreFailed: the disk refused.
        """
        self._on_progress(self._swarm.progress)
        async with trio.open_nursery() as nursery:
            while not self._is_over():
                self._changed = trio.Event()
                self._advance(nursery)
                with trio.move_on_after(TRANSFER_TICK_SECONDS):
                    await self._changed.wait()
            nursery.cancel_scope.cancel()
        error = self._error or self._swarm.failure()
        if error is not None:
            raise error

    def _is_over(self) -> bool:
        is_hopeless = self._swarm.failure() is not None
        return self._swarm.is_done or is_hopeless or self._error is not None

    def _advance(self, nursery: trio.Nursery) -> None:
        """Ask what the swarm wants asked; hang up on who is out."""
        for link in [link for link in self._links.values() if self._swarm.is_out(link.holder)]:
            link.scope.cancel()
        for ask in self._swarm.asks(trio.current_time()):
            if ask.holder not in self._links:
                link = _Link(ask.holder, *trio.open_memory_channel[Ask](inf))
                self._links[ask.holder] = link
                nursery.start_soon(self._run_link, nursery, link)
            self._links[ask.holder].asks.send_nowait(ask)
            self._await_answer(self._links[ask.holder])

    def _await_answer(self, link: _Link) -> None:
        """Count silence from now on while something is owed."""
        owes = self._swarm.owes(link.holder)
        seconds = HOLDER_SILENCE_SECONDS_MAX if owes else inf
        link.scope.deadline = trio.current_time() + seconds

    # --- one holder -------------------------------------------------------------------------------

    async def _run_link(self, nursery: trio.Nursery, link: _Link) -> None:
        error = GridError("was silent for too long")
        with link.scope:
            error = await self._talk(nursery, link)
        if self._links.get(link.holder) is link:
            del self._links[link.holder]
        if isinstance(error, PeerError):
            log.warning("%s is not asked for chunks any more: %s", short(link.holder), error)
            self._swarm.broke_protocol(link.holder)
            self._network.blame(link.holder)
        elif self._swarm.owes(link.holder):
            log.info("fetching chunks from %s failed: %s", short(link.holder), error)
            self._swarm.failed(link.holder, trio.current_time())
        self._changed.set()

    async def _talk(self, nursery: trio.Nursery, link: _Link) -> GridError:
        """Ask and receive until the holder or the connection fails; says how."""
        try:
            stream = await self._network.open_bulk(link.holder)
        except GridError as error:
            return error
        outcome = GridError("was given up")
        try:
            async with trio.open_nursery() as asking:
                asking.start_soon(_send_asks, stream, link.queue)
                outcome = await self._receive_answers(nursery, link, stream)
                asking.cancel_scope.cancel()
        finally:
            await stream.aclose()
        return outcome

    async def _receive_answers(
        self, nursery: trio.Nursery, link: _Link, stream: BulkStream
    ) -> GridError:
        try:
            while frame := await stream.receive():
                answer = self._expected_answer(link.holder, frame)
                body = Body(answer.body_bytes)
                while not body.is_complete:
                    self._await_answer(link)
                    body.feed(await stream.receive())
                await self._take(nursery, link, answer, body)
        except GridError as error:
            return error
        return Unreachable("closed the connection")

    def _expected_answer(self, holder: NodeId, frame: bytes) -> ChunkAnswer:
        answer = decode(Answer, frame).what
        if not isinstance(answer, ChunkAnswer):
            raise BrokenProtocol("an flist where chunks were asked for")
        for one in answer.served:
            if not self._swarm.is_asked(holder, one.chunk):
                raise BrokenProtocol(f"chunk {short(one.chunk)} was not asked for")
        return answer

    async def _take(
        self, nursery: trio.Nursery, link: _Link, answer: ChunkAnswer, body: Body
    ) -> None:
        """Tell the swarm what came and have it stored; waits while too much is being stored."""
        link.scope.deadline = inf  # our own disk may be slow
        await self._storing.acquire()
        # From here on nothing waits, so that no cancellation comes between arrived and stored.
        now = trio.current_time()
        here = {one.chunk: one.blob_bytes for one in answer.served if one.blob_bytes}
        self._swarm.absent(
            link.holder, [one.chunk for one in answer.served if not one.blob_bytes], now
        )
        fresh = set(self._swarm.arrived(link.holder, here, now))
        parts = zip(here, body.parts(here.values()), strict=True)
        blobs = [Blob(chunk, data) for chunk, data in parts if chunk in fresh]
        nursery.start_soon(self._store, link.holder, blobs)
        self._await_answer(link)
        self._changed.set()

    async def _store(self, holder: NodeId, blobs: Sequence[Blob]) -> None:
        try:
            await self._chunks.put(blobs)
        except BadChunk as error:
            log.warning("%s is not asked for chunks any more: %s", short(holder), error)
            self._swarm.lied(holder, [blob.chunk for blob in blobs])
            self._network.blame(holder)
        except GridError as error:
            self._error = error
        else:
            for blob in blobs:
                self._swarm.stored(blob.chunk, len(blob.data))
            self._on_progress(self._swarm.progress)
        finally:
            self._storing.release()
        self._changed.set()


async def _send_asks(stream: BulkStream, queue: trio.MemoryReceiveChannel[Ask]) -> None:
    """Pass requests on. That the connection broke is seen by whoever receives."""
    try:
        async for ask in queue:
            await stream.send(encode(Request(ChunkRequest(ask.chunks))))
    except GridError as error:
        log.debug("a request for chunks was not sent: %s", error)
