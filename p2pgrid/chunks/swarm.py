"""Who is asked for which chunk next. Pure: told what happened and when, says what to ask.

    wanted ──ask──▶ in flight ──arrive──▶ in hand ──store──▶ done
       ▲               │ absent, failed, lied    │ bad
       └───────────────┴─────────────────────────┘

A holder is asked for as much as it delivers in about a second, so that a fast
one never waits and a slow one never holds much. What somebody waits for goes
before what is read ahead, and that before the rest: it is asked of whoever
should bring it first, whatever else that one owes. One that served a bad chunk
is out at once; one that fails is tried again a few times. When nothing is left
to ask, idle holders repeat what is late or expected late elsewhere.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import ceil

from p2pgrid.chunks.holder import SILENT, Holder, reasons
from p2pgrid.chunks.wanted import Urgency, Wanted
from p2pgrid.errors import GridError, NotFound, Unreachable
from p2pgrid.limits.chunks import (
    CHUNK_BYTES,
    CHUNKS_PER_REQUEST_MAX,
    DUPLICATES_PERMILLE_MAX,
    HOLDER_TRIAL_SECONDS,
    HOLDERS_AT_ONCE_MAX,
    LATE_CHUNK_SECONDS,
    URGENT_LATE_SECONDS,
    URGENT_WINDOW,
)
from p2pgrid.model.ids import ChunkId, NodeId, short


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to send now; at most CHUNKS_PER_REQUEST_MAX chunks."""

    holder: NodeId
    chunks: tuple[ChunkId, ...]
    urgency: Urgency = Urgency.LATER


class Swarm:
    """One transfer. Times are seconds of any clock that does not jump."""

    def __init__(self, wanted: Iterable[ChunkId] = (), holders: Iterable[NodeId] = ()) -> None:
        """Fetch `wanted`, in this order where it matters, from `holders`, the best first."""
        self._wanted = Wanted()
        self._askers: dict[ChunkId, set[NodeId]] = {}
        self._in_hand: set[ChunkId] = set()
        self._holders: dict[NodeId, Holder] = {}
        self._duplicate_count = 0
        self._arrived_count = self._arrived_bytes = 0
        self._trial_at: float | None = None
        self.meet(holders)
        self.want(wanted)

    # --- what is wanted ---------------------------------------------------------------------------

    def meet(self, holders: Iterable[NodeId]) -> None:
        """Ask these as well, after those that are known. Who was only silent is tried anew."""
        for node in holders:
            self._holders.setdefault(node, Holder(node)).forgive()

    def want(self, chunks: Iterable[ChunkId], urgency: Urgency = Urgency.LATER) -> None:
        """Fetch these too; what is wanted already becomes as urgent as this if it was less."""
        fresh = []
        for chunk in chunks:
            is_under_way = chunk in self._askers or chunk in self._in_hand
            if self._wanted.want(chunk, urgency, is_under_way=is_under_way):
                fresh.append(chunk)
        for holder in self._holders.values():
            holder.lacks.difference_update(fresh)  # it may have got them since it said so
        self._look_for_lost(fresh)

    def forget(self, chunks: Iterable[ChunkId]) -> None:
        """Nobody wants these any more; what is under way may come all the same."""
        for chunk in chunks:
            self._wanted.forget(chunk)

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

    def stored(self, chunk: ChunkId) -> None:
        """A chunk that arrived is verified and durable."""
        self._in_hand.remove(chunk)
        self._wanted.forget(chunk)

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
        holder.fail(now)
        self._give_all_back(holder)
        if holder.out_because:
            self._look_for_lost()

    def not_stored(self, chunks: Iterable[ChunkId]) -> None:
        """Our own disk refused these, which arrived."""
        for chunk in chunks:
            self._in_hand.remove(chunk)
            self._want_again(chunk, set())

    def hung_up(self, node: NodeId) -> None:
        """We closed the connection to a holder because nothing that it owes is wanted."""
        self._give_all_back(self._holders[node])

    # --- what follows -----------------------------------------------------------------------------

    def asks(self, now: float) -> list[Ask]:
        """What to ask now; it counts as asked. Call it after every event, and now and then."""
        if self.is_done:
            return []
        asks = self._urgent_asks(now)
        for holder in self._with_place(now):
            chunks = self._next_wanted(holder, self._room(holder))
            if not chunks and not holder.in_flight:
                chunks = self._next_repeated(holder, now)
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
        return not self._wanted.left_count

    @property
    def delivering_count(self) -> int:
        """How many holders owe us something now."""
        return sum(bool(holder.in_flight) for holder in self._holders.values())

    @property
    def lost(self) -> Collection[ChunkId]:
        """Wanted chunks that no holder is left for, until they are wanted anew or forgotten."""
        return self._wanted.lost

    def failure(self) -> GridError | None:
        """Why something that is wanted does not come; None while all of it may."""
        return next((self.failure_of(chunk) for chunk in self._wanted.lost), None)

    def failure_of(self, chunk: ChunkId) -> GridError:
        """Why nobody gives a lost chunk: what each holder did."""
        done_count = self._wanted.count - self._wanted.left_count
        message = (
            f"nobody gives chunk {short(chunk)}, after {done_count} of "
            f"{self._wanted.count}: {reasons(self._holders.values(), chunk)}"
        )
        is_silence = any(holder.out_because == SILENT for holder in self._holders.values())
        return Unreachable(message) if is_silence else NotFound(message)

    # --- holders ----------------------------------------------------------------------------------

    def _ready(self, now: float) -> list[Holder]:
        """Who may be asked; who failed comes after who did not, so that all get their turn."""
        ready = [
            holder
            for holder in self._holders.values()
            if not holder.out_because and holder.retry_at <= now
        ]
        return sorted(ready, key=lambda holder: holder.failures)

    def _with_place(self, now: float) -> Iterator[Holder]:
        """Who may be asked now, one after the other: so many deliver at the same time.

        When all places are taken, one that was never tried gets one now and then: those
        who took the places might be slow, all of them.
        """
        best = max((one.bytes_per_second or 0.0 for one in self._holders.values()), default=0.0)
        taken = sum(one.takes_place(best, now) for one in self._holders.values())
        for holder in self._ready(now):
            has_place = holder.takes_place(best, now)
            if has_place or taken < HOLDERS_AT_ONCE_MAX or self._is_trial(holder, now):
                yield holder
                taken += not has_place and holder.takes_place(best, now)

    def _is_trial(self, holder: Holder, now: float) -> bool:
        if self._trial_at is None:
            self._trial_at = now + HOLDER_TRIAL_SECONDS
        is_untried = holder.bytes_per_second is None and not holder.failures
        is_trial = is_untried and now >= self._trial_at
        if is_trial:
            self._trial_at = now + HOLDER_TRIAL_SECONDS
        return is_trial

    def _room(self, holder: Holder) -> int:
        """How many chunks to ask a holder for: none while it has half its window."""
        window = holder.window(self._mean_bytes())
        if len(holder.in_flight) > window // 2 or not self._wanted.waiting_count:
            return 0
        part = self._fair_part(holder) - len(holder.in_flight)
        return min(window - len(holder.in_flight), max(part, int(not holder.in_flight)))

    def _fair_part(self, holder: Holder) -> int:
        """How many of all chunks that are to come a holder should bring.

        In the measure of their rates, so that all who deliver are done at the same time.
        """
        busy = [one for one in self._holders.values() if one.in_flight or one is holder]
        to_come = self._wanted.waiting_count + sum(len(one.in_flight) for one in busy)
        rates = [one.bytes_per_second for one in busy if one.bytes_per_second is not None]
        mean_rate = sum(rates) / len(rates) if rates else 1.0
        total_rate = mean_rate * len(busy)
        return ceil(to_come * (holder.bytes_per_second or mean_rate) / total_rate)

    def _mean_bytes(self) -> float:
        return self._arrived_bytes / self._arrived_count if self._arrived_count else CHUNK_BYTES

    def _drop(self, holder: Holder, reason: str) -> None:
        holder.out_because = holder.out_because or reason
        self._give_all_back(holder)
        self._look_for_lost()

    # --- chunks -----------------------------------------------------------------------------------

    def _urgent_asks(self, now: float) -> list[Ask]:
        """What somebody waits for, of whom it should come from first."""
        urgent = [*self._wanted.waiting(Urgency.NOW), *self._overdue(now)]
        if not urgent:
            return []
        ready = list(self._with_place(now))
        owed = {one.node: self._urgent_owed(one) for one in ready}
        chosen: dict[NodeId, list[ChunkId]] = {}
        for chunk in urgent:
            givers = [
                one
                for one in ready
                if owed[one.node] < URGENT_WINDOW
                and chunk not in one.lacks
                and one.node not in self._askers.get(chunk, ())
            ]
            if givers:
                mean_bytes = self._mean_bytes()
                best = min(givers, key=lambda one: one.seconds_for(owed[one.node] + 1, mean_bytes))
                owed[best.node] += 1
                self._duplicate_count += chunk in self._askers
                chosen.setdefault(best.node, []).append(chunk)
        return [
            ask
            for node, chunks in chosen.items()
            for ask in self._ask(self._holders[node], chunks, now)
        ]

    def _urgent_owed(self, holder: Holder) -> int:
        return sum(map(self._wanted.is_urgent, holder.in_flight))

    def _overdue(self, now: float) -> list[ChunkId]:
        """What somebody waits for, and one holder was asked for and has not given for a while."""
        overdue = [
            chunk
            for chunk in self._wanted.urgent
            if len(self._askers.get(chunk, ())) == 1
            and now - self._asked_at(chunk) >= URGENT_LATE_SECONDS
        ]
        return overdue[: max(0, self._duplicates_left)]

    def _asked_at(self, chunk: ChunkId) -> float:
        """When it was last asked for."""
        return max(self._holders[node].in_flight[chunk] for node in self._askers[chunk])

    @property
    def _duplicates_left(self) -> int:
        """Every holder may be late with its last chunk, and beyond that a part of all."""
        allowed = max(HOLDERS_AT_ONCE_MAX, self._wanted.count * DUPLICATES_PERMILLE_MAX // 1000)
        return allowed - self._duplicate_count

    def _next_wanted(self, holder: Holder, room: int) -> list[ChunkId]:
        if not room or holder.found_nothing_in == self._wanted.generation:
            return []
        waiting = self._wanted.waiting(Urgency.SOON, Urgency.LATER)
        chunks = list(islice((chunk for chunk in waiting if chunk not in holder.lacks), room))
        if not chunks:
            holder.found_nothing_in = self._wanted.generation
        return chunks

    def _next_repeated(self, holder: Holder, now: float) -> list[ChunkId]:
        """What is late elsewhere, and within limits what we expect to be late."""
        chunks: list[ChunkId] = []
        for chunk, asker in self._owed_by_others(holder):
            if len(chunks) == holder.window(self._mean_bytes()):
                break
            if now - asker.in_flight[chunk] >= LATE_CHUNK_SECONDS:
                chunks.append(chunk)
            elif (
                self._duplicates_left > 0
                and len(self._askers[chunk]) == 1
                and asker.is_clearly_slower(holder, self._mean_bytes(), now)
            ):
                self._duplicate_count += 1
                chunks.append(chunk)
        return chunks

    def _owed_by_others(self, holder: Holder) -> Iterator[tuple[ChunkId, Holder]]:
        """Chunks that others owe and `holder` might give, with who was asked last.

        Each holder's last one comes first: its first is what it is sending now.
        """
        for asker in self._holders.values():
            for chunk in reversed(asker.in_flight):
                askers = self._askers.get(chunk, set())
                if asker.node not in askers or holder.node in askers or chunk in holder.lacks:
                    continue
                if asker.in_flight[chunk] == self._asked_at(chunk):
                    yield chunk, asker

    def _ask(self, holder: Holder, chunks: list[ChunkId], now: float) -> list[Ask]:
        holder.owe(chunks, now)
        by_urgency: dict[Urgency, list[ChunkId]] = {}
        for chunk in chunks:
            self._askers.setdefault(chunk, set()).add(holder.node)
            by_urgency.setdefault(self._wanted.ask(chunk), []).append(chunk)
        return [
            Ask(holder.node, tuple(some[start : start + CHUNKS_PER_REQUEST_MAX]), urgency)
            for urgency, some in sorted(by_urgency.items())
            for start in range(0, len(some), CHUNKS_PER_REQUEST_MAX)
        ]

    def _give_all_back(self, holder: Holder) -> None:
        chunks, holder.in_flight = holder.in_flight, {}
        for chunk in chunks:
            self._give_back(holder, chunk)

    def _give_back(self, holder: Holder, chunk: ChunkId) -> None:
        """A holder will not give this; it is wanted again unless somebody else was asked."""
        if chunk in self._askers:
            self._want_again(chunk, self._askers.pop(chunk) - {holder.node})

    def _want_again(self, chunk: ChunkId, askers: set[NodeId]) -> None:
        """A chunk was not given by one holder; `askers` are others that owe it."""
        if askers:
            self._askers[chunk] = askers
        else:
            self._wanted.wait(chunk)

    def _look_for_lost(self, among: Collection[ChunkId] | None = None) -> None:
        """Note chunks that no holder is left for."""
        left = [holder for holder in self._holders.values() if not holder.out_because]
        if among is None and any(not holder.lacks for holder in left):
            return
        candidates = self._wanted.waiting() if among is None else among
        lost = [
            chunk
            for chunk in candidates
            if self._wanted.is_waiting(chunk) and all(chunk in holder.lacks for holder in left)
        ]
        for chunk in lost:
            self._wanted.lose(chunk)
