"""When an epoch ends, by the clock of each witness; and whose turn it is to lead then.

    starts ──votes──> ends ──settle──> closed ──view 0──> ──view 1──> ...
                       └─ frozen: no votes, for EPOCH_FREEZE_MS_MAX at most ─┘

Clocks decide only when something is tried. No certificate depends on them, and whoever's
clock is wrong holds nobody up.
"""

from dataclasses import dataclass

from p2pgrid.ledger.certificate import WitnessSet
from p2pgrid.limits.epochs import (
    EPOCH_FREEZE_MS_MAX,
    EPOCH_SETTLE_MS,
    EPOCH_VIEW_MS_MAX,
    EPOCH_VIEW_MS_MIN,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.units import TimestampMs


@dataclass(frozen=True, slots=True)
class Schedule:
    """The times of one epoch."""

    starts_ms: TimestampMs
    length_ms: int

    @property
    def ends_ms(self) -> TimestampMs:
        """When witnesses stop voting."""
        return TimestampMs(self.starts_ms + self.length_ms)

    @property
    def closes_ms(self) -> TimestampMs:
        """When each closes its books, and the first view begins."""
        return TimestampMs(self.ends_ms + EPOCH_SETTLE_MS)

    def is_frozen(self, now_ms: int) -> bool:
        """Whether witnesses vote for no operation now."""
        return self.ends_ms <= now_ms < self.ends_ms + EPOCH_FREEZE_MS_MAX

    def is_closed(self, now_ms: int) -> bool:
        """Whether books are closed by this clock."""
        return now_ms >= self.closes_ms

    def view_at(self, now_ms: int) -> int | None:
        """The view of this moment; None before the first."""
        left_ms = now_ms - self.closes_ms
        if left_ms < 0:
            return None
        view, length_ms = 0, EPOCH_VIEW_MS_MIN
        while left_ms >= length_ms:
            if length_ms == EPOCH_VIEW_MS_MAX:
                return view + left_ms // length_ms
            left_ms -= length_ms
            view, length_ms = view + 1, min(2 * length_ms, EPOCH_VIEW_MS_MAX)
        return view

    def view_starts_ms(self, view: int) -> TimestampMs:
        """When a view begins; the one after it begins when it ends."""
        at, length_ms = int(self.closes_ms), EPOCH_VIEW_MS_MIN
        for done in range(view):
            if length_ms == EPOCH_VIEW_MS_MAX:
                return TimestampMs(at + (view - done) * length_ms)
            at, length_ms = at + length_ms, min(2 * length_ms, EPOCH_VIEW_MS_MAX)
        return TimestampMs(at)


def leader_of(view: int, witnesses: WitnessSet) -> NodeId:
    """Whose turn it is: each in turn, another one first in every epoch."""
    return witnesses.members[(witnesses.epoch + view) % len(witnesses.members)][0]
