"""Pace: how often something may happen, a few times at once and then with pauses."""

from collections import OrderedDict
from collections.abc import Hashable

from p2pgrid.limits.explorer import EXPLORER_REGISTERS_MAX, RECORD_BURST, RECORD_INTERVAL_MS
from p2pgrid.units import TimestampMs


class Pace:
    """A bucket of tokens for each key: one comes every interval, `burst` fit in."""

    def __init__(
        self,
        *,
        interval_ms: int = RECORD_INTERVAL_MS,
        burst: int = RECORD_BURST,
        keys_max: int = EXPLORER_REGISTERS_MAX,
    ) -> None:
        self._interval_ms = interval_ms
        self._burst = burst
        self._keys_max = keys_max
        self._full_ms: OrderedDict[Hashable, int] = OrderedDict()
        """When the bucket of a key will be full again."""

    def allows(self, key: Hashable, now_ms: TimestampMs) -> bool:
        """Whether it may happen now."""
        return self.next_ms(key, now_ms) <= now_ms

    def take(self, key: Hashable, now_ms: TimestampMs) -> bool:
        """Whether it may happen now; if so, it counts as happened."""
        full_ms = self._full_ms.get(key, 0)
        # A clock that was set back leaves the bucket a debt of its burst at most.
        latest = now_ms + self._burst * self._interval_ms
        if min(full_ms, latest) - (self._burst - 1) * self._interval_ms > now_ms:
            return False
        self._full_ms[key] = min(max(full_ms, now_ms) + self._interval_ms, latest)
        self._full_ms.move_to_end(key)
        if len(self._full_ms) > self._keys_max:
            self._full_ms.popitem(last=False)
        return True

    def next_ms(self, key: Hashable, now_ms: TimestampMs) -> TimestampMs:
        """When it may happen next; `now_ms` at the earliest."""
        full_ms = min(self._full_ms.get(key, 0), now_ms + self._burst * self._interval_ms)
        return TimestampMs(max(now_ms, full_ms - (self._burst - 1) * self._interval_ms))
