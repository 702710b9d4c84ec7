"""How often something may happen: a token bucket, sans clock."""


class TokenBucket:
    """Allows `burst` events at once and `per_second` sustained."""

    __slots__ = ("_burst", "_per_second", "_tokens", "_updated_at")

    def __init__(self, *, per_second: float, burst: float, now: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._updated_at = now

    @property
    def is_full(self) -> bool:
        """Whether nothing happened lately, as of the last look: such a bucket may be forgotten."""
        return self._tokens >= self._burst

    def refill(self, now: float) -> None:
        """Let the time up to `now` (seconds) count."""
        gained = max(0.0, now - self._updated_at) * self._per_second
        self._tokens = min(self._burst, self._tokens + gained)
        self._updated_at = now

    def take(self, now: float, count: float = 1) -> bool:
        """Whether `count` more may happen now; counts them if so."""
        self.refill(now)
        if self._tokens < count:
            return False
        self._tokens -= count
        return True

    def tokens(self, now: float) -> float:
        """How many may happen now."""
        self.refill(now)
        return self._tokens

    def wait_seconds(self, now: float, count: float = 1) -> float:
        """Until `count` more may happen; 0 when they may now."""
        self.refill(now)
        return max(0.0, count - self._tokens) / self._per_second
