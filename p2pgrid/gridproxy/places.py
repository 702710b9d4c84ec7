"""Who may hold a connection and ask, so that strangers take a bounded part of the machine; pure.

Time is an argument, in seconds. Nobody is shut out for long: connections that idle make place, and
whoever has asked for too much waits until that is paid off.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from p2pgrid.limits.gridproxy import (
    HTTP_BODY_BYTES_MAX,
    HTTP_BURST_MS,
    HTTP_CONNECTIONS_MAX,
    HTTP_CONNECTIONS_PER_SITE_MAX,
    HTTP_COST_MS_MIN,
    HTTP_MS_PER_SECOND,
    HTTP_SITE_BURST_MS,
    HTTP_SITE_MS_PER_SECOND,
    HTTP_SITES_REMEMBERED_MAX,
    HTTP_SMALL_BYTES,
    HTTP_WAITING_BYTES_MAX,
)


class Places:
    """Connections, each with a number of its own, by the site that they come from."""

    def __init__(self) -> None:
        self._sites: dict[int, str] = {}
        self._counts = Counter[str]()
        self._idle: OrderedDict[int, None] = OrderedDict()
        """Those that wait for a request, the longest first."""

    def arrive(self, number: int, site: str) -> bool:
        """Whether a site may have one more; it is counted then, and idle."""
        if self._counts[site] >= HTTP_CONNECTIONS_PER_SITE_MAX:
            return False
        self._sites[number] = site
        self._counts[site] += 1
        self._idle[number] = None
        return True

    def work(self, number: int) -> None:
        """It has asked something."""
        self._idle.pop(number, None)

    def rest(self, number: int) -> None:
        """It has its answer."""
        self._idle[number] = None

    def leave(self, number: int) -> None:
        """It is closed."""
        site = self._sites.pop(number)
        self._counts -= Counter([site])
        self._idle.pop(number, None)

    def whom_to_drop(self) -> int | None:
        """Who makes place when there are too many: the one that has been idle for longest.

        When all are at work it is the newest.
        """
        if len(self._sites) <= HTTP_CONNECTIONS_MAX:
            return None
        return next(iter(self._idle)) if self._idle else next(reversed(self._sites))


class Waiting:
    """Bytes of answers that clients have not taken yet, by site."""

    def __init__(self) -> None:
        self._sites = Counter[str]()
        self._all = 0

    def has_room(self, site: str, size_bytes: int) -> bool:
        """Whether an answer of such a size may wait, too; a small one always may."""
        return size_bytes <= HTTP_SMALL_BYTES or (
            self._sites[site] + size_bytes <= HTTP_BODY_BYTES_MAX
            and self._all + size_bytes <= HTTP_WAITING_BYTES_MAX
        )

    @contextmanager
    def hold(self, site: str, size_bytes: int) -> Iterator[None]:
        """Count an answer as long as it waits."""
        self._sites[site] += size_bytes
        self._all += size_bytes
        try:
            yield
        finally:
            self._all -= size_bytes
            self._sites -= Counter({site: size_bytes})


@dataclass(slots=True)
class _Account:
    """Milliseconds of CPU that may be used; below zero after more than that."""

    left: float
    updated_at: float


class Budgets:
    """CPU used by each site, and by all together."""

    def __init__(self, now: float) -> None:
        self._all = _Account(HTTP_BURST_MS, now)
        self._sites: OrderedDict[str, _Account] = OrderedDict()

    def wait_seconds(self, site: str, now: float) -> float:
        """How long until a site may ask; 0 when it may now."""
        own = self._sites.pop(site, None) or _Account(HTTP_SITE_BURST_MS, now)
        self._sites[site] = own
        if len(self._sites) > HTTP_SITES_REMEMBERED_MAX:
            self._sites.popitem(last=False)
        return max(
            _wait(own, HTTP_SITE_MS_PER_SECOND, HTTP_SITE_BURST_MS, now),
            _wait(self._all, HTTP_MS_PER_SECOND, HTTP_BURST_MS, now),
        )

    def charge(self, site: str, cost_ms: float) -> None:
        """An answer took so long."""
        cost_ms = max(HTTP_COST_MS_MIN, cost_ms)
        self._all.left -= cost_ms
        own = self._sites.get(site)
        if own is not None:
            own.left -= cost_ms


def _wait(account: _Account, per_second: float, burst: float, now: float) -> float:
    gained = max(0.0, now - account.updated_at) * per_second
    account.left = min(burst, account.left + gained)
    account.updated_at = now
    return max(0.0, -account.left / per_second)
