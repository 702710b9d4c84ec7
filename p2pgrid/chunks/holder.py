"""What a transfer knows of one holder: what it owes, what it lacks, how quick it is. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from p2pgrid.limits.chunks import (
    ASSUMED_ANSWER_SECONDS,
    ASSUMED_BYTES_PER_SECOND,
    CHUNKS_PER_REQUEST_MAX,
    HOLDER_FAILURES_MAX,
    HOLDER_RETRY_SECONDS,
    HOLDER_WINDOW_MIN,
    HOLDER_WINDOW_SECONDS,
    HOLDER_WINDOW_START,
    LATE_CHUNK_SECONDS,
)
from p2pgrid.model.ids import ChunkId, NodeId, short

SILENT = "does not answer"
"""Why a holder is out that may be asked again when somebody names it anew."""

_RATE_HALF_LIFE_SECONDS = 2.0  # of what a rate is measured over: a holder that slows is noticed
_INSTANT_SECONDS = 0.001  # answers that come together; a rate needs some time to divide by
_CLEARLY_SLOWER = 2.0  # times: rates are guesses, and a repeat costs bandwidth
_NAMED_MAX = 5  # in an error message
_FULL_SPEED = 0.25  # of the rate of the quickest holder: who is slower takes nobody's place


@dataclass(slots=True, eq=False)
class Holder:
    """One holder during one transfer. Times are seconds of any clock that does not jump."""

    node: NodeId
    in_flight: dict[ChunkId, float] = field(default_factory=dict)
    """Asked and not answered, with the time, oldest first."""
    lacks: set[ChunkId] = field(default_factory=set)
    recent_bytes: float = 0.0
    """What it sent, and in how many seconds, older ones counting less and less."""
    recent_seconds: float = 0.0
    quickest_seconds: float | None = None
    """The shortest time from a question, asked while it owed nothing, to an answer."""
    is_first_answer: bool = True
    """Whether the next answer is the first since it owed nothing."""
    heard_at: float = 0.0
    """When it last answered, or was asked while it owed nothing."""
    failures: int = 0
    retry_at: float = 0.0
    found_nothing_in: int = -1
    """The generation of wanted chunks that it has none of."""
    out_because: str = ""
    """Why it is not asked any more; empty while it is."""

    # --- what happened ----------------------------------------------------------------------------

    def owe(self, chunks: list[ChunkId], now: float) -> None:
        """It is asked for these now."""
        if not self.in_flight:
            self.heard_at = now
            self.is_first_answer = True
        for chunk in chunks:
            self.in_flight[chunk] = now

    def measure(self, answer_bytes: int, now: float) -> None:
        """Count an answer in; several at one instant share the time before them."""
        seconds = now - self.heard_at
        weight = 0.5 ** (seconds / _RATE_HALF_LIFE_SECONDS)
        self.recent_bytes = self.recent_bytes * weight + answer_bytes
        self.recent_seconds = self.recent_seconds * weight + seconds
        self.heard_at = now
        if self.is_first_answer:
            known = self.quickest_seconds
            self.quickest_seconds = seconds if known is None else min(known, seconds)
            self.is_first_answer = False

    def fail(self, now: float) -> None:
        """It is silent, or cannot be reached: a pause, and after several of them it is out."""
        self.failures += 1
        if self.failures >= HOLDER_FAILURES_MAX:
            self.out_because = self.out_because or SILENT
            return
        self.retry_at = now + HOLDER_RETRY_SECONDS * 2 ** (self.failures - 1)
        self.recent_bytes = self.recent_seconds = 0.0

    def forgive(self) -> None:
        """Somebody names it again: who was only silent gets another chance."""
        if self.out_because == SILENT:
            self.out_because, self.failures, self.retry_at = "", 0, 0.0

    # --- what follows -----------------------------------------------------------------------------

    @property
    def bytes_per_second(self) -> float | None:
        """Measured rate, None before the first answer."""
        return self.recent_bytes / max(self.recent_seconds, _INSTANT_SECONDS) or None

    def window(self, mean_bytes: float) -> int:
        """How many chunks of such a size it may owe us."""
        if self.bytes_per_second is None:
            return HOLDER_WINDOW_START
        ahead = self.bytes_per_second * HOLDER_WINDOW_SECONDS / mean_bytes
        return max(HOLDER_WINDOW_MIN, min(int(ahead), CHUNKS_PER_REQUEST_MAX))

    def seconds_for(self, chunk_count: int, mean_bytes: float) -> float:
        """When so many chunks would be here if it served nothing before them."""
        rate = self.bytes_per_second or ASSUMED_BYTES_PER_SECOND
        return (self.quickest_seconds or ASSUMED_ANSWER_SECONDS) + chunk_count * mean_bytes / rate

    def takes_place(self, best_bytes_per_second: float, now: float) -> bool:
        """Whether it delivers what is worth a place among those who do so at the same time.

        Who is late, or crawls beside a quick one, takes nobody's place: crumbs would
        hold up the rest.
        """
        if not self.in_flight or now - next(iter(self.in_flight.values())) >= LATE_CHUNK_SECONDS:
            return False
        rate = self.bytes_per_second
        return rate is None or rate >= _FULL_SPEED * best_bytes_per_second

    def is_clearly_slower(self, other: "Holder", mean_bytes: float, now: float) -> bool:
        """Whether it needs much longer for what it owes than `other` for one chunk."""
        if other.bytes_per_second is None:
            return False
        silence_seconds = now - self.heard_at
        owed_bytes = len(self.in_flight) * mean_bytes
        own_seconds = owed_bytes / self.bytes_per_second if self.bytes_per_second else 0.0
        other_seconds = mean_bytes / other.bytes_per_second
        return max(silence_seconds, own_seconds) > _CLEARLY_SLOWER * other_seconds


def reasons(holders: Iterable[Holder], chunk: ChunkId) -> str:
    """Why none of them gives a chunk, for people."""
    told = [
        f"{short(holder.node)} {holder.out_because or 'does not have it'}"
        for holder in holders
        if holder.out_because or chunk in holder.lacks
    ]
    more = f"; and {len(told) - _NAMED_MAX} more" if len(told) > _NAMED_MAX else ""
    return ("; ".join(told[:_NAMED_MAX]) or "no holder is known") + more
