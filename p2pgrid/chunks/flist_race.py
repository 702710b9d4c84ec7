"""One `.fl` file from whichever holder gives it: no number of liars keeps an honest one from it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from p2pgrid.chunks.chunk_store import ChunkStore
from p2pgrid.chunks.messages import Answer, Body, FlistAnswer, FlistRequest, Request
from p2pgrid.errors import (
    BrokenProtocol,
    GridError,
    NotFound,
    PeerError,
    StoreFailed,
    Unreachable,
)
from p2pgrid.limits.chunks import (
    FLIST_BYTES_PER_SECOND_MIN,
    FLIST_HEDGE_SECONDS,
    FLIST_NEXT_SECONDS,
    HOLDER_SILENCE_SECONDS_MAX,
    HOLDERS_AT_ONCE_MAX,
)
from p2pgrid.model.ids import FlistId, NodeId, short
from p2pgrid.net.network import BulkStream, Network
from p2pgrid.wire.codec import decode, encode

log = logging.getLogger(__name__)

_NAMED_HOLDERS_MAX = 10  # in an error message


@dataclass(slots=True, eq=False)
class _Attempt:
    """One holder that is asked."""

    holder: NodeId
    since: float
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    ended: trio.Event = field(default_factory=trio.Event)
    received_bytes: int = 0

    @property
    def deadline(self) -> float:
        """When it was silent, or slow on average, for too long."""
        now = trio.current_time()
        earned_seconds = self.received_bytes / FLIST_BYTES_PER_SECOND_MIN
        fast_enough_until = self.since + HOLDER_SILENCE_SECONDS_MAX + earned_seconds
        return min(now + HOLDER_SILENCE_SECONDS_MAX, fast_enough_until)

    @property
    def bytes_per_second(self) -> float:
        """Since it was asked."""
        return self.received_bytes / max(trio.current_time() - self.since, FLIST_NEXT_SECONDS)


class FlistRace:
    """Asks one holder after the other, the next one without waiting for a slow one.

    When as many are asked as may be at the same time, the slowest makes room.
    """

    def __init__(self, network: Network, chunks: ChunkStore, flist: FlistId) -> None:
        self._network = network
        self._chunks = chunks
        self._flist = flist
        self._running: list[_Attempt] = []
        self._data: bytes | None = None
        self._error: StoreFailed | None = None
        self._failures: dict[NodeId, GridError] = {}

    async def run(self, holders: Sequence[NodeId]) -> bytes:
        """The first that is what its id says, stored. Raises NotFound, Unreachable, StoreFailed."""
        async with trio.open_nursery() as nursery:
            pause = FLIST_HEDGE_SECONDS
            for holder in holders:
                self._make_room()
                attempt = _Attempt(holder, trio.current_time())
                self._running.append(attempt)
                nursery.start_soon(self._attempt, nursery, attempt)
                with trio.move_on_after(pause) as waiting:
                    await attempt.ended.wait()
                if waiting.cancelled_caught:
                    pause = FLIST_NEXT_SECONDS
        if self._error is not None:
            raise self._error
        if self._data is not None:
            return self._data
        raise self._failure()

    def _make_room(self) -> None:
        if len(self._running) >= HOLDERS_AT_ONCE_MAX:
            slowest = min(self._running, key=lambda one: one.bytes_per_second)
            self._running.remove(slowest)
            slowest.scope.cancel()

    def _failure(self) -> GridError:
        reasons = [f"{short(node)}: {error}" for node, error in self._failures.items()]
        shown = "; ".join(reasons[:_NAMED_HOLDERS_MAX]) or "no holder is known"
        if len(reasons) > _NAMED_HOLDERS_MAX:
            shown += f"; and {len(reasons) - _NAMED_HOLDERS_MAX} more"
        message = f"nobody gives flist {short(self._flist)}: {shown}"
        if any(isinstance(error, Unreachable) for error in self._failures.values()):
            return Unreachable(message)
        return NotFound(message)

    async def _attempt(self, nursery: trio.Nursery, attempt: _Attempt) -> None:
        try:
            data = await self._fetch(attempt)
            await self._chunks.put_flist(self._flist, data)
        except StoreFailed as error:
            self._error = error
            nursery.cancel_scope.cancel()
            return
        except GridError as error:
            log.info(
                "fetching flist %s from %s failed: %s",
                short(self._flist), short(attempt.holder), error,
            )  # fmt: skip
            self._failures[attempt.holder] = error
            if isinstance(error, PeerError):
                self._network.blame(attempt.holder)
            if attempt in self._running:
                self._running.remove(attempt)
            attempt.ended.set()
            return
        self._data = data
        nursery.cancel_scope.cancel()

    async def _fetch(self, attempt: _Attempt) -> bytes:
        """What one holder gives for the flist."""
        attempt.scope.deadline = attempt.deadline
        with attempt.scope:
            stream = await self._network.open_bulk(attempt.holder)
            try:
                await stream.send(encode(Request(FlistRequest(self._flist))))
                return await self._receive(stream, attempt)
            finally:
                await stream.aclose()
        raise Unreachable("was silent or slow for too long")

    async def _receive(self, stream: BulkStream, attempt: _Attempt) -> bytes:
        answer = decode(Answer, await stream.receive()).what
        if not isinstance(answer, FlistAnswer):
            raise BrokenProtocol("chunks where an flist was asked for")
        if not answer.body_bytes:
            raise NotFound("does not have it")
        body = Body(answer.body_bytes)
        while not body.is_complete:
            frame = await stream.receive()
            attempt.received_bytes += len(frame)
            attempt.scope.deadline = attempt.deadline
            body.feed(frame)
        return body.whole()
