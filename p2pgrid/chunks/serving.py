"""The serving side of the exchange: reads a request, sends answers, reads the next.

While one answer is sent the next is read from disk. What that holds in memory
is bounded for all peers together; the network bounds connections per peer.
Nothing is decoded or decrypted: a node serves chunks that it cannot read.
"""

from collections.abc import Iterable, Sequence

import trio

from p2pgrid.chunks.chunk_store import ChunkStore
from p2pgrid.chunks.messages import (
    Answer,
    ChunkAnswer,
    ChunkRequest,
    FlistAnswer,
    FlistRequest,
    Request,
    Served,
    body_frames,
    split_answers,
)
from p2pgrid.errors import Unreachable
from p2pgrid.limits.chunks import ANSWER_BYTES_MAX, ANSWER_FRAME_SECONDS_MAX, ANSWERS_IN_MEMORY_MAX
from p2pgrid.limits.net import BULK_FRAME_BYTES
from p2pgrid.model.ids import ChunkId, FlistId, NodeId
from p2pgrid.net.network import BulkStream
from p2pgrid.net.scopes import bare_errors
from p2pgrid.wire.codec import decode, encode


class ChunkServer:
    """Serves bulk streams from one chunk store."""

    def __init__(self, chunks: ChunkStore) -> None:
        self._chunks = chunks
        self._memory = trio.Semaphore(ANSWERS_IN_MEMORY_MAX)

    async def serve(self, _peer: NodeId, stream: BulkStream) -> None:
        """Answer one peer until it closes; a `BulkHandler`.

        Raises:
            MalformedRecord: it sent what is no request.
            Unreachable: it is gone, or takes nothing in.
        """
        while frame := await stream.receive():
            match decode(Request, frame).what:
                case ChunkRequest(chunks):
                    await self._serve_chunks(stream, chunks)
                case FlistRequest(flist):
                    await self._serve_flist(stream, flist)

    async def _serve_chunks(self, stream: BulkStream, chunks: Sequence[ChunkId]) -> None:
        sizes = [(chunk, self._chunks.chunk_bytes(chunk) or 0) for chunk in dict.fromkeys(chunks)]
        send_channel, answers = trio.open_memory_channel[_AnswerAndBlobs](0)
        with bare_errors():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read_answers, split_answers(sizes), send_channel)
                async for answer, blobs in answers:
                    try:
                        await _send(stream, answer, blobs)
                    finally:
                        self._memory.release()

    async def _read_answers(
        self,
        groups: Iterable[Sequence[ChunkId]],
        answers: trio.MemorySendChannel["_AnswerAndBlobs"],
    ) -> None:
        """Read one answer ahead. Whoever takes it releases the memory."""
        async with answers:
            for group in groups:
                await self._memory.acquire()
                try:
                    await answers.send(await self._read_answer(group))
                except BaseException:
                    self._memory.release()
                    raise

    async def _read_answer(self, group: Sequence[ChunkId]) -> "_AnswerAndBlobs":
        found = await self._chunks.get_many(group)
        blobs = [data or b"" for data in found]
        served = (Served(chunk, len(data)) for chunk, data in zip(group, blobs, strict=True))
        return ChunkAnswer(tuple(served)), blobs

    async def _serve_flist(self, stream: BulkStream, flist: FlistId) -> None:
        size_bytes = self._chunks.flist_bytes(flist) or 0
        await _send(stream, FlistAnswer(size_bytes), [])
        for start in range(0, size_bytes, _PIECE_BYTES):
            async with self._memory:
                piece = await self._chunks.read_flist(flist, start=start, bytes_max=_PIECE_BYTES)
                await _send_body(stream, [piece])


_AnswerAndBlobs = tuple[ChunkAnswer, list[bytes]]

_PIECE_BYTES = ANSWER_BYTES_MAX // BULK_FRAME_BYTES * BULK_FRAME_BYTES  # ends with a full frame


async def _send(
    stream: BulkStream, what: ChunkAnswer | FlistAnswer, blobs: Sequence[bytes]
) -> None:
    await _send_frame(stream, encode(Answer(what)))
    await _send_body(stream, blobs)


async def _send_body(stream: BulkStream, blobs: Sequence[bytes]) -> None:
    for frame in body_frames(blobs):
        await _send_frame(stream, frame)


async def _send_frame(stream: BulkStream, frame: bytes) -> None:
    try:
        with trio.fail_after(ANSWER_FRAME_SECONDS_MAX):
            await stream.send(frame)
    except trio.TooSlowError as error:
        raise Unreachable("the peer does not take in what it asked for") from error
