"""The fetching side of the exchange: carries out what a `Swarm` decides.

One task for each holder that is asked; answers of all of them are hashed and
stored in worker threads while more arrive. Whoever wants chunks of one image
shares one transfer. Only its task tree touches the swarm.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

import trio

from p2pgrid.chunks.chunk_store import Blob, ChunkStore
from p2pgrid.chunks.messages import Answer, Body, ChunkAnswer, ChunkRequest, Request
from p2pgrid.chunks.rate import Rate
from p2pgrid.chunks.swarm import Ask, Swarm
from p2pgrid.chunks.wanted import Urgency
from p2pgrid.errors import BadChunk, BrokenProtocol, GridError, PeerError, Unreachable
from p2pgrid.limits.chunks import (
    HOLDER_SILENCE_SECONDS_MAX,
    STORING_ANSWERS_MAX,
    TRANSFER_LINGER_SECONDS,
    TRANSFER_TICK_SECONDS,
)
from p2pgrid.model.ids import ChunkId, NodeId, short
from p2pgrid.net.network import BulkStream, Network
from p2pgrid.wire.codec import decode, encode

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a caller's part of a transfer is. Counts what is stored, not what merely arrived."""

    done_count: int
    wanted_count: int
    done_bytes: int
    peer_count: int = 0
    """Holders that owe something now."""
    bytes_per_second: int = 0
    """Of the whole transfer, lately."""


OnProgress = Callable[[Progress], None]


@dataclass(slots=True, eq=False)
class _Need:
    """What one caller waits for."""

    pending: set[ChunkId]
    on_progress: OnProgress
    wanted_count: int = field(init=False)
    done_bytes: int = 0
    given_bytes: Counter[NodeId] = field(default_factory=Counter)
    error: GridError | None = None
    ended: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        self.wanted_count = len(self.pending)

    def fail(self, error: GridError) -> None:
        """It will not be met."""
        self.error = self.error or error
        self.ended.set()


@dataclass(slots=True, eq=False)
class _Link:
    """A connection to one holder, from the moment that it is wanted."""

    holder: NodeId
    asks: trio.MemorySendChannel[Ask]
    queue: trio.MemoryReceiveChannel[Ask]
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    """Its deadline is when silence becomes a failure: never while nothing is owed."""
    is_of_use: bool = True
    """Whether we did not hang up ourselves."""


class Download:
    """One transfer of chunks into a store, shared by all who want some of them."""

    def __init__(self, network: Network, chunks: ChunkStore) -> None:
        self._network = network
        self._chunks = chunks
        self._swarm = Swarm()
        self._rate = Rate()
        self._needs: list[_Need] = []
        self._links: dict[NodeId, _Link] = {}
        self._storing = trio.Semaphore(STORING_ANSWERS_MAX)
        self._changed = trio.Event()
        self.is_over = False
        """Whether it takes no more callers."""

    async def fetch(
        self,
        wanted: Sequence[ChunkId],
        holders: Sequence[NodeId],
        urgency: Urgency,
        on_progress: OnProgress,
    ) -> Counter[NodeId]:
        """Return when all of `wanted` is stored; gives who sent how many bytes of it.

        Raises:
            NotFound: no holder has some chunk.
            Unreachable: no holder that might have it answers.
            StoreFailed: the disk refused.
        """
        need = _Need({one for one in wanted if not self._chunks.has(one)}, on_progress)
        self._needs.append(need)
        self._swarm.meet(holders)
        self._swarm.want((one for one in wanted if one in need.pending), urgency)
        self._changed.set()
        self._report(need)
        try:
            if need.pending:
                await need.ended.wait()
        finally:
            self._needs.remove(need)
            others = set[ChunkId]().union(*(one.pending for one in self._needs))
            self._swarm.forget(need.pending - others)
            self._changed.set()
        if need.error is not None:
            raise need.error
        return need.given_bytes

    async def run(self) -> None:
        """Fetch for whoever calls; return some time after the last one has left."""
        async with trio.open_nursery() as nursery:
            try:
                while not self.is_over:
                    self._changed = trio.Event()
                    self._advance(nursery)
                    is_idle = not self._needs
                    seconds = TRANSFER_LINGER_SECONDS if is_idle else TRANSFER_TICK_SECONDS
                    with trio.move_on_after(seconds):
                        await self._changed.wait()
                    self.is_over = is_idle and not self._changed.is_set()
            finally:
                self.is_over = True
                for need in self._needs:
                    need.fail(Unreachable("the node stops"))
            nursery.cancel_scope.cancel()

    def _advance(self, nursery: trio.Nursery) -> None:
        """Ask what the swarm wants asked; hang up on who is out, or of no more use."""
        for need in self._needs:
            lost = next((chunk for chunk in self._swarm.lost if chunk in need.pending), None)
            if lost is not None:
                need.fail(self._swarm.failure_of(lost))
        for link in self._links.values():
            is_useless = self._swarm.is_done and self._swarm.owes(link.holder)
            if is_useless or self._swarm.is_out(link.holder):
                link.is_of_use = False
                link.scope.cancel()
        for ask in self._swarm.asks(trio.current_time()):
            link = self._links.get(ask.holder) or self._open_link(nursery, ask.holder)
            link.asks.send_nowait(ask)
            self._await_answer(link)

    def _open_link(self, nursery: trio.Nursery, holder: NodeId) -> _Link:
        link = _Link(holder, *trio.open_memory_channel[Ask](inf))
        self._links[holder] = link
        nursery.start_soon(self._run_link, nursery, link)
        return link

    def _await_answer(self, link: _Link) -> None:
        """Count silence from now on while something is owed."""
        owes = self._swarm.owes(link.holder)
        seconds = HOLDER_SILENCE_SECONDS_MAX if owes else inf
        link.scope.deadline = trio.current_time() + seconds

    def _report(self, need: _Need) -> None:
        need.on_progress(
            Progress(
                done_count=need.wanted_count - len(need.pending),
                wanted_count=need.wanted_count,
                done_bytes=need.done_bytes,
                peer_count=self._swarm.delivering_count,
                bytes_per_second=self._rate.bytes_per_second(trio.current_time()),
            )
        )

    # --- one holder -------------------------------------------------------------------------------

    async def _run_link(self, nursery: trio.Nursery, link: _Link) -> None:
        error = GridError("was silent for too long")
        with link.scope:
            error = await self._talk(nursery, link)
        if self._links.get(link.holder) is link:
            del self._links[link.holder]
        if not link.is_of_use:
            self._swarm.hung_up(link.holder)
        elif isinstance(error, PeerError):
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
            self._swarm.not_stored([blob.chunk for blob in blobs])
            for need in self._needs:
                need.fail(error)
        else:
            self._note_stored(holder, blobs)
        finally:
            self._storing.release()
        self._changed.set()

    def _note_stored(self, holder: NodeId, blobs: Sequence[Blob]) -> None:
        sizes = {blob.chunk: len(blob.data) for blob in blobs}
        for chunk in sizes:
            self._swarm.stored(chunk)
        self._rate.add(sum(sizes.values()), trio.current_time())
        for need in self._needs:
            if met := need.pending & sizes.keys():
                need.pending -= met
                need.done_bytes += sum(sizes[chunk] for chunk in met)
                need.given_bytes[holder] += sum(sizes[chunk] for chunk in met)
                self._report(need)
            if not need.pending:
                need.ended.set()


async def _send_asks(stream: BulkStream, queue: trio.MemoryReceiveChannel[Ask]) -> None:
    """Pass requests on. That the connection broke is seen by whoever receives."""
    try:
        async for ask in queue:
            await stream.send(encode(Request(ChunkRequest(ask.chunks, ask.urgency))))
    except GridError as error:
        log.debug("a request for chunks was not sent: %s", error)
