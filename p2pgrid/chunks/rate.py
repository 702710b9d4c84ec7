"""How fast something goes, lately. Pure."""

from math import log

from p2pgrid.limits.chunks import RATE_SECONDS

_LN2 = log(2)


class Rate:
    """Bytes a second, of which those long ago count less and less."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._weighted_bytes = 0.0
        self._counted_at = 0.0

    def add(self, count_bytes: int, now: float) -> None:
        """So many bytes came since the last time. How long the first took is not known."""
        if self._since is None:
            self._since = self._counted_at = now
            return
        self._fade(now)
        self._weighted_bytes += count_bytes

    def bytes_per_second(self, now: float) -> int:
        """0 before the second answer, when there is no time to divide by."""
        if self._since is None or now <= self._since:
            return 0
        self._fade(now)
        covered_seconds = RATE_SECONDS * (1 - 2 ** (-(now - self._since) / RATE_SECONDS))
        return int(self._weighted_bytes * _LN2 / covered_seconds)

    def _fade(self, now: float) -> None:
        self._weighted_bytes *= 2 ** (-(now - self._counted_at) / RATE_SECONDS)
        self._counted_at = now
