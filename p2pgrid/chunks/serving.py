"""The serving side of the exchange: reads requests, sends answers, the most urgent first.

While one answer is sent the next is read from disk. What that holds in memory
is bounded for all peers together and for each, and given in turns; the network
bounds connections. Nothing is decoded or decrypted: a node serves chunks that it
cannot read.
"""

from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager

import trio

from p2pgrid.chunks.answer_queue import AnswerQueue, ChunkGroup
from p2pgrid.chunks.chunk_store import ChunkStore
from p2pgrid.chunks.messages import (
    Answer,
    ChunkAnswer,
    FlistAnswer,
    Request,
    Served,
    body_frames,
)
from p2pgrid.chunks.turns import Turns
from p2pgrid.errors import GridError, Unreachable
from p2pgrid.limits.chunks import (
    ANSWER_BYTES_MAX,
    ANSWER_FRAME_SECONDS_MAX,
    ANSWER_SECONDS_MAX,
    ANSWERS_IN_MEMORY_MAX,
    ANSWERS_PER_PEER_MAX,
)
from p2pgrid.limits.net import BULK_FRAME_BYTES
from p2pgrid.model.ids import FlistId, NodeId
from p2pgrid.net.network import BulkStream
from p2pgrid.wire.codec import decode, encode


class ChunkServer:
    """Serves bulk streams from one chunk store."""

    def __init__(self, chunks: ChunkStore) -> None:
        self._chunks = chunks
        self._turns = Turns[trio.Event](ANSWERS_IN_MEMORY_MAX, room_per_peer=ANSWERS_PER_PEER_MAX)

    async def serve(self, peer: NodeId, stream: BulkStream) -> None:
        """Answer one peer until it closes; a `BulkHandler`.

        Raises:
            MalformedRecord: it sent what is no request.
            Unreachable: it is gone, or takes in too slowly what it asked for.
        """
        async with trio.open_nursery() as nursery:
            serving = _Serving(self, peer, stream, nursery.cancel_scope)
            nursery.start_soon(serving.send_answers)
            await serving.read_requests()
        if serving.failure is not None:
            raise serving.failure

    @asynccontextmanager
    async def turn(self, peer: NodeId) -> AsyncGenerator[None]:
        """Room in memory for one answer, during the block."""
        await self.take_turn(peer)
        try:
            yield
        finally:
            self.end_turn(peer)

    async def take_turn(self, peer: NodeId) -> None:
        """Wait for room for one answer; give it back by `end_turn`."""
        ticket = trio.Event()
        self._turns.wait(peer, ticket)
        self._admit()
        try:
            await ticket.wait()
        except trio.Cancelled:
            if not self._turns.withdraw(ticket):
                self.end_turn(peer)
            raise

    def end_turn(self, peer: NodeId) -> None:
        """An answer is out of memory."""
        self._turns.release(peer)
        self._admit()

    def _admit(self) -> None:
        while (ticket := self._turns.admit()) is not None:
            ticket.set()

    @property
    def answers_in_memory(self) -> int:
        """How many there are now."""
        return self._turns.held_count

    def new_queue(self) -> AnswerQueue:
        """For the requests of one stream."""
        return AnswerQueue(lambda chunk: self._chunks.chunk_bytes(chunk) or 0)

    async def read_answer(self, group: ChunkGroup) -> "_AnswerAndBlobs":
        """One answer, from disk."""
        found = await self._chunks.get_many(group)
        blobs = [data or b"" for data in found]
        served = (Served(chunk, len(data)) for chunk, data in zip(group, blobs, strict=True))
        return ChunkAnswer(tuple(served)), blobs

    async def send_flist(self, peer: NodeId, stream: BulkStream, flist: FlistId) -> None:
        """A whole `.fl` file, a piece at a time."""
        size_bytes = self._chunks.flist_bytes(flist) or 0
        await _send(stream, FlistAnswer(size_bytes), [])
        for start in range(0, size_bytes, _PIECE_BYTES):
            async with self.turn(peer):
                piece = await self._chunks.read_flist(flist, start=start, bytes_max=_PIECE_BYTES)
                await _send_body(stream, [piece])


class _Serving:
    """One stream of one peer.

    Its tasks may fail at the same time, when the peer is gone: the first failure ends them
    all, and none is raised in them.
    """

    def __init__(
        self, server: ChunkServer, peer: NodeId, stream: BulkStream, scope: trio.CancelScope
    ) -> None:
        self._server = server
        self._peer = peer
        self._stream = stream
        self._scope = scope
        self._queue = server.new_queue()
        self._changed = trio.Event()
        self._is_at_end = False
        self.failure: GridError | None = None

    async def read_requests(self) -> None:
        """Queue what the peer asks, while there is room, until it closes."""
        with self._failing():
            while frame := await self._stream.receive():
                self._queue.add(decode(Request, frame).what)
                self._tell()
                while self._queue.is_full:
                    await self._changed.wait()
            self._is_at_end = True
            self._tell()

    async def send_answers(self) -> None:
        """Answer until nothing more will be asked."""
        send_channel, answers = trio.open_memory_channel[_AnswerAndBlobs | FlistId](0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read_answers, send_channel)
            async for answer in answers:
                with self._failing():
                    if isinstance(answer, tuple):
                        await self._send_chunks(*answer)
                    else:
                        await self._server.send_flist(self._peer, self._stream, answer)

    async def _send_chunks(self, answer: ChunkAnswer, blobs: Sequence[bytes]) -> None:
        try:
            await _send(self._stream, answer, blobs)
        finally:
            self._server.end_turn(self._peer)

    async def _read_answers(
        self, answers: trio.MemorySendChannel["_AnswerAndBlobs | FlistId"]
    ) -> None:
        """Read one answer ahead. Whoever takes it ends its turn."""
        with self._failing():
            async with answers:
                while True:
                    what = self._queue.next()
                    if what is not None:
                        self._tell()
                        await self._read_answer(what, answers)
                    elif self._is_at_end:
                        return
                    else:
                        await self._changed.wait()

    async def _read_answer(
        self,
        what: ChunkGroup | FlistId,
        answers: trio.MemorySendChannel["_AnswerAndBlobs | FlistId"],
    ) -> None:
        if isinstance(what, bytes):
            await answers.send(FlistId(what))
            return
        await self._server.take_turn(self._peer)
        try:
            await answers.send(await self._server.read_answer(what))
        except BaseException:
            self._server.end_turn(self._peer)
            raise

    @contextmanager
    def _failing(self) -> Generator[None]:
        try:
            yield
        except GridError as error:
            self.failure = self.failure or error
            self._scope.cancel()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


_AnswerAndBlobs = tuple[ChunkAnswer, list[bytes]]

_PIECE_BYTES = ANSWER_BYTES_MAX // BULK_FRAME_BYTES * BULK_FRAME_BYTES  # ends with a full frame


async def _send(
    stream: BulkStream, what: ChunkAnswer | FlistAnswer, blobs: Sequence[bytes]
) -> None:
    await _send_frames(stream, [encode(Answer(what))])
    await _send_body(stream, blobs)


async def _send_body(stream: BulkStream, blobs: Sequence[bytes]) -> None:
    await _send_frames(stream, body_frames(blobs))


async def _send_frames(stream: BulkStream, frames: Iterable[bytes]) -> None:
    """Send what is in memory until then. Raises Unreachable when that takes too long."""
    try:
        with trio.fail_after(ANSWER_SECONDS_MAX):
            for frame in frames:
                with trio.fail_after(ANSWER_FRAME_SECONDS_MAX):
                    await stream.send(frame)
    except trio.TooSlowError as error:
        raise Unreachable("the peer does not take in what it asked for") from error
