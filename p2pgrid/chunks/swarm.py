"""Who is asked for which chunk next. Pure: told what happened and when, says what to ask.

    wanted ──ask──▶ in flight ──arrive──▶ in hand ──store──▶ done
       ▲               │ absent, failed, lied    │ bad
       └───────────────┴─────────────────────────┘

A holder is asked for as much as it delivers in about a second, so that a fast
one never waits and a slow one never holds much. One that served a bad chunk is
out at once; one that fails is tried again a few times. When nothing is left to
ask, idle holders repeat what is late or expected late elsewhere.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from p2pgrid.errors import GridError, NotFound, Unreachable
from p2pgrid.limits.chunks import (
    CHUNK_BYTES,
    CHUNKS_PER_REQUEST_MAX,
    DUPLICATES_PERMILLE_MAX,
    HOLDER_FAILURES_MAX,
    HOLDER_RETRY_SECONDS,
    HOLDER_WINDOW_MIN,
    HOLDER_WINDOW_SECONDS,
    HOLDER_WINDOW_START,
    HOLDERS_AT_ONCE_MAX,
    LATE_CHUNK_SECONDS,
)
from p2pgrid.model.ids import ChunkId, NodeId, short

_RATE_HALF_LIFE_SECONDS = 2.0  # of what a rate is measured over: a holder that slows is noticed
_CLEARLY_SLOWER = 2.0  # times as slow as we: rates are guesses, and a repeat costs bandwidth
_INSTANT_SECONDS = 0.001  # answers that come together; a rate needs some time to divide by
_NAMED_HOLDERS_MAX = 5  # in an error message


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to send now; at most CHUNKS_PER_REQUEST_MAX chunks."""

    holder: NodeId
    chunks: tuple[ChunkId, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transfer is. Counts what is stored, not what merely arrived."""

    done_count: int
    wanted_count: int
    done_bytes: int


@dataclass(slots=True, eq=False)
class _Holder:
    """What we know of one holder during this transfer."""

    node: NodeId
    in_flight: dict[ChunkId, float] = field(default_factory=dict)
    """Asked and not answered, with the time, oldest first."""
    lacks: set[ChunkId] = field(default_factory=set)
    recent_bytes: float = 0.0
    """What it sent, and in how many seconds, older ones counting less and less."""
    recent_seconds: float = 0.0
    heard_at: float = 0.0
    """When it last answered, or was asked while it owed nothing."""
    failures: int = 0
    retry_at: float = 0.0
    found_nothing_in: int = -1
    """The generation of wanted chunks that it has none of."""
    out_because: str = ""
    """Why it is not asked any more; empty while it is."""

    @property
    def bytes_per_second(self) -> float | None:
        """Measured rate, None before the first answer."""
        return self.recent_bytes / max(self.recent_seconds, _INSTANT_SECONDS) or None

    def measure(self, answer_bytes: int, now: float) -> None:
        """Count an answer in; several at one instant share the time before them."""
        seconds = now - self.heard_at
        weight = 0.5 ** (seconds / _RATE_HALF_LIFE_SECONDS)
        self.recent_bytes = self.recent_bytes * weight + answer_bytes
        self.recent_seconds = self.recent_seconds * weight + seconds
        self.heard_at = now


class Swarm:
    """One transfer. Times are seconds of any clock that does not jump."""

    def __init__(self, wanted: Iterable[ChunkId], holders: Iterable[NodeId]) -> None:
        """Fetch `wanted`, in this order where it matters, from `holders`, the best first."""
        self._todo: dict[ChunkId, None] = dict.fromkeys(wanted)
        self._askers: dict[ChunkId, set[NodeId]] = {}
        self._in_hand: set[ChunkId] = set()
        self._holders = {node: _Holder(node) for node in holders}
        self._wanted_count = len(self._todo)
        self._done_count = self._done_bytes = 0
        self._arrived_count = self._arrived_bytes = 0
        self._duplicates_left = -(-self._wanted_count * DUPLICATES_PERMILLE_MAX // 1000)
        self._generation = 0
        """Goes up when a chunk becomes wanted again."""
        self._lost: ChunkId | None = None
        self._look_for_lost()

    # --- what happened ----------------------------------------------------------------------------

    def arrived(self, node: NodeId, sizes: Mapping[ChunkId, int], now: float) -> list[ChunkId]:
        """Chunks of `sizes` bytes came from a holder; gives those to verify and store.

        The others came from somebody else before.
        """
        holder = self._holders[node]
        holder.measure(sum(sizes.values()), now)
        holder.failures = 0
        self._arrived_count += len(sizes)
        self._arrived_bytes += sum(sizes.values())
        fresh = []
        for chunk in sizes:
            holder.in_flight.pop(chunk, None)
            if chunk in self._askers:
                del self._askers[chunk]
                self._in_hand.add(chunk)
                fresh.append(chunk)
        return fresh

    def stored(self, chunk: ChunkId, blob_bytes: int) -> None:
        """A chunk that arrived is verified and durable."""
        self._in_hand.remove(chunk)
        self._done_count += 1
        self._done_bytes += blob_bytes

    def absent(self, node: NodeId, chunks: Iterable[ChunkId], now: float) -> None:
        """A holder answered that it does not have these."""
        holder = self._holders[node]
        holder.measure(0, now)
        for chunk in chunks:
            holder.in_flight.pop(chunk, None)
            holder.lacks.add(chunk)
            self._give_back(holder, chunk)
            self._look_for_lost([chunk])

    def lied(self, node: NodeId, chunks: Iterable[ChunkId]) -> None:
        """One of these, which arrived from this holder, is not what its id says: it is out."""
        for chunk in chunks:
            self._in_hand.remove(chunk)
            askers = {one.node for one in self._holders.values() if chunk in one.in_flight}
            self._want_again(chunk, askers - {node})
        self._drop(self._holders[node], "served a bad chunk")

    def broke_protocol(self, node: NodeId) -> None:
        """A holder answered what was never asked, or not as agreed: it is out."""
        self._drop(self._holders[node], "broke the protocol")

    def failed(self, node: NodeId, now: float) -> None:
        """The connection to a holder is gone, or it is silent. It is tried again later."""
        holder = self._holders[node]
        holder.failures += 1
        if holder.failures >= HOLDER_FAILURES_MAX:
            self._drop(holder, "does not answer")
            return
        holder.retry_at = now + HOLDER_RETRY_SECONDS * 2 ** (holder.failures - 1)
        holder.recent_bytes = holder.recent_seconds = 0.0
        self._give_all_back(holder)

    # --- what follows -----------------------------------------------------------------------------

    def asks(self, now: float) -> list[Ask]:
        """What to ask now; it counts as asked. Call it after every event, and now and then."""
        asks: list[Ask] = []
        for holder in self._ready(now):
            is_busy = bool(holder.in_flight)
            if not is_busy and self._busy_count(now) >= HOLDERS_AT_ONCE_MAX:
                continue
            chunks = self._next_wanted(holder, self._room(holder))
            if not chunks and not is_busy:
                chunks = self._next_repeated(holder, now)
            if chunks:
                asks += self._ask(holder, chunks, now)
        return asks

    def is_asked(self, node: NodeId, chunk: ChunkId) -> bool:
        """Whether a holder may answer for a chunk now."""
        return chunk in self._holders[node].in_flight

    def owes(self, node: NodeId) -> bool:
        """Whether a holder was asked for anything that it has not answered."""
        return bool(self._holders[node].in_flight)

    def is_out(self, node: NodeId) -> bool:
        """Whether a holder is never asked again."""
        return bool(self._holders[node].out_because)

    @property
    def is_done(self) -> bool:
        """Whether every wanted chunk is stored."""
        return self._done_count == self._wanted_count

    @property
    def progress(self) -> Progress:
        """How far we are."""
        return Progress(self._done_count, self._wanted_count, self._done_bytes)

    def failure(self) -> GridError | None:
        """Why this transfer can never be done; None while it can."""
        if self._lost is None:
            return None
        reasons = list(self._reasons(self._lost))
        shown = "; ".join(reasons[:_NAMED_HOLDERS_MAX])
        more = f"; and {len(reasons) - _NAMED_HOLDERS_MAX} more" * (
            len(reasons) > _NAMED_HOLDERS_MAX
        )
        message = (
            f"nobody gives chunk {short(self._lost)}, after {self._done_count} of "
            f"{self._wanted_count}: {shown or 'no holder is known'}{more}"
        )
        is_silence = any(
            holder.out_because == "does not answer" for holder in self._holders.values()
        )
        return Unreachable(message) if is_silence else NotFound(message)

    # --- holders ----------------------------------------------------------------------------------

    def _ready(self, now: float) -> list[_Holder]:
        """Who may be asked; who failed comes after who did not, so that all get their turn."""
        ready = [
            holder
            for holder in self._holders.values()
            if not holder.out_because and holder.retry_at <= now
        ]
        return sorted(ready, key=lambda holder: holder.failures)

    def _busy_count(self, now: float) -> int:
        """How many deliver. Who is late takes nobody's place: crumbs would hold up the rest."""
        return sum(
            bool(holder.in_flight)
            and now - next(iter(holder.in_flight.values())) < LATE_CHUNK_SECONDS
            for holder in self._holders.values()
        )

    def _room(self, holder: _Holder) -> int:
        """How many chunks to ask a holder for: none while it has half its window."""
        window = self._window(holder)
        if len(holder.in_flight) > window // 2:
            return 0
        helpers = sum(not one.out_because for one in self._holders.values())
        share = -(-len(self._todo) // min(helpers, HOLDERS_AT_ONCE_MAX))
        return min(window - len(holder.in_flight), max(share, 1))

    def _window(self, holder: _Holder) -> int:
        """How many chunks a holder may owe us."""
        if holder.bytes_per_second is None:
            return HOLDER_WINDOW_START
        ahead = holder.bytes_per_second * HOLDER_WINDOW_SECONDS / self._mean_bytes()
        return max(HOLDER_WINDOW_MIN, min(int(ahead), CHUNKS_PER_REQUEST_MAX))

    def _mean_bytes(self) -> float:
        return self._arrived_bytes / self._arrived_count if self._arrived_count else CHUNK_BYTES

    def _drop(self, holder: _Holder, reason: str) -> None:
        holder.out_because = holder.out_because or reason
        self._give_all_back(holder)
        self._look_for_lost()

    # --- chunks -----------------------------------------------------------------------------------

    def _next_wanted(self, holder: _Holder, room: int) -> list[ChunkId]:
        if not room or holder.found_nothing_in == self._generation:
            return []
        suitable = (chunk for chunk in self._todo if chunk not in holder.lacks)
        chunks = list(islice(suitable, room))
        if not chunks:
            holder.found_nothing_in = self._generation
        return chunks

    def _next_repeated(self, holder: _Holder, now: float) -> list[ChunkId]:
        """What is late elsewhere, and within limits what we expect to be late."""
        chunks: list[ChunkId] = []
        for chunk, asker in self._owed_by_others(holder):
            if len(chunks) == self._window(holder):
                break
            if now - asker.in_flight[chunk] >= LATE_CHUNK_SECONDS:
                chunks.append(chunk)
            elif (
                self._duplicates_left > 0
                and len(self._askers[chunk]) == 1
                and self._is_clearly_slower(asker, holder, now)
            ):
                self._duplicates_left -= 1
                chunks.append(chunk)
        return chunks

    def _owed_by_others(self, holder: _Holder) -> Iterator[tuple[ChunkId, _Holder]]:
        """Chunks that others owe and `holder` might give, with who was asked last.

        Each holder's last one comes first: its first is what it is sending now.
        """
        for asker in self._holders.values():
            for chunk in reversed(asker.in_flight):
                askers = self._askers.get(chunk, set())
                if asker.node not in askers or holder.node in askers or chunk in holder.lacks:
                    continue
                asked_at = (self._holders[node].in_flight[chunk] for node in askers)
                if asker.in_flight[chunk] == max(asked_at):
                    yield chunk, asker

    def _is_clearly_slower(self, asker: _Holder, holder: _Holder, now: float) -> bool:
        """Whether `asker` needs much longer for what it owes than `holder` for one chunk."""
        if holder.bytes_per_second is None:
            return False
        silence_seconds = now - asker.heard_at
        owed_bytes = len(asker.in_flight) * self._mean_bytes()
        asker_seconds = owed_bytes / asker.bytes_per_second if asker.bytes_per_second else 0.0
        own_seconds = self._mean_bytes() / holder.bytes_per_second
        return max(silence_seconds, asker_seconds) > _CLEARLY_SLOWER * own_seconds

    def _ask(self, holder: _Holder, chunks: Sequence[ChunkId], now: float) -> list[Ask]:
        if not holder.in_flight:
            holder.heard_at = now
        for chunk in chunks:
            self._todo.pop(chunk, None)
            self._askers.setdefault(chunk, set()).add(holder.node)
            holder.in_flight[chunk] = now
        return [
            Ask(holder.node, tuple(chunks[start : start + CHUNKS_PER_REQUEST_MAX]))
            for start in range(0, len(chunks), CHUNKS_PER_REQUEST_MAX)
        ]

    def _give_all_back(self, holder: _Holder) -> None:
        chunks, holder.in_flight = holder.in_flight, {}
        for chunk in chunks:
            self._give_back(holder, chunk)

    def _give_back(self, holder: _Holder, chunk: ChunkId) -> None:
        """A holder will not give this; it is wanted again unless somebody else was asked."""
        if chunk in self._askers:
            self._want_again(chunk, self._askers.pop(chunk) - {holder.node})

    def _want_again(self, chunk: ChunkId, askers: set[NodeId]) -> None:
        """A chunk was not given by one holder; `askers` are others that owe it."""
        if askers:
            self._askers[chunk] = askers
        else:
            self._todo[chunk] = None
            self._generation += 1

    def _look_for_lost(self, among: Collection[ChunkId] | None = None) -> None:
        """Note a chunk that no holder is left for."""
        left = [holder for holder in self._holders.values() if not holder.out_because]
        for chunk in self._todo if among is None else among:
            if chunk in self._todo and all(chunk in holder.lacks for holder in left):
                self._lost = chunk
                return

    def _reasons(self, chunk: ChunkId) -> Iterator[str]:
        for holder in self._holders.values():
            reason = holder.out_because or ("does not have it" if chunk in holder.lacks else "")
            if reason:
                yield f"{short(holder.node)} {reason}"
