"""Which of the connections that strangers open we take, before anything is known of them; pure.

A handshake costs us 10 to 30 ms of CPU, and until its end one stranger is like another.
So addresses and prefixes may open only so many, at a certain pace; and when too many
have not shown yet who they are, the one that has waited longest in the most crowded
prefix makes place. Whoever floods us is in his own way.
"""

import ipaddress
from collections import Counter, OrderedDict
from dataclasses import dataclass

from p2pgrid.limits.net import (
    ARRIVALS_ADDRESS_BURST,
    ARRIVALS_BURST,
    ARRIVALS_PER_ADDRESS_PER_SECOND,
    ARRIVALS_PER_PREFIX_PER_SECOND,
    ARRIVALS_PER_SECOND,
    ARRIVALS_PREFIX_BURST,
    ARRIVALS_QUIET,
    ARRIVALS_REMEMBERED_MAX,
    CONNECTIONS_PER_ADDRESS_MAX,
    CONNECTIONS_PER_PREFIX_MAX,
    CONNECTIONS_UNKNOWN_MAX,
)
from p2pgrid.net.pace import TokenBucket
from p2pgrid.net.prefix import prefix_of_host


@dataclass(frozen=True, slots=True)
class _Arrival:
    site: str
    prefix: str


def site_of(host: str) -> str:
    """What counts as one address: a whole /64 in IPv6, as anyone gets one.

    >>> site_of("2001:db8::1"), site_of("192.0.2.7"), site_of("")
    ('2001:db8::/64', '192.0.2.7', '')
    """
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if ip.version == 4:
        return str(ip)
    mapped = ip.ipv4_mapped
    return str(mapped or ipaddress.ip_network((ip, 64), strict=False))


class Admission:
    """Counts inbound connections; each has a number of its own."""

    def __init__(self, now: float) -> None:
        self._here: dict[int, _Arrival] = {}
        self._unknown: dict[int, _Arrival] = {}
        """Of these, who has not shown who he is; the oldest first."""
        self._sites = Counter[str]()
        self._prefixes = Counter[str]()
        self._pace = TokenBucket(per_second=ARRIVALS_PER_SECOND, burst=ARRIVALS_BURST, now=now)
        self._paces: OrderedDict[str, TokenBucket] = OrderedDict()

    @property
    def unknown_count(self) -> int:
        """How many have not shown who they are."""
        return len(self._unknown)

    def arrive(self, number: int, host: str, now: float) -> bool:
        """Whether to take a connection from an IP address at `now` seconds; it is counted then."""
        arrival = _Arrival(site_of(host), prefix_of_host(host))
        is_crowd = (
            self._sites[arrival.site] >= CONNECTIONS_PER_ADDRESS_MAX
            or self._prefixes[arrival.prefix] >= CONNECTIONS_PER_PREFIX_MAX
        )
        if is_crowd or not self._has_pace(arrival, now):
            return False
        self._here[number] = self._unknown[number] = arrival
        self._sites[arrival.site] += 1
        self._prefixes[arrival.prefix] += 1
        return True

    def whom_to_drop(self) -> int | None:
        """Who has to make place now, if anybody has."""
        if len(self._unknown) <= CONNECTIONS_UNKNOWN_MAX:
            return None
        crowd = Counter(one.prefix for one in self._unknown.values())
        return max(self._unknown, key=lambda number: crowd[self._unknown[number].prefix])

    def settle(self, number: int) -> None:
        """It has greeted as a node of our grid."""
        self._unknown.pop(number, None)

    def leave(self, number: int) -> None:
        """It is closed."""
        self._unknown.pop(number, None)
        arrival = self._here.pop(number, None)
        if arrival is not None:
            self._sites -= Counter([arrival.site])
            self._prefixes -= Counter([arrival.prefix])

    def _has_pace(self, arrival: _Arrival, now: float) -> bool:
        """Prefixes that were quiet get in even while others use up what is for all."""
        site = self._pace_of(
            arrival.site, ARRIVALS_PER_ADDRESS_PER_SECOND, ARRIVALS_ADDRESS_BURST, now
        )
        if not site.take(now):
            return False
        prefix = self._pace_of(
            arrival.prefix, ARRIVALS_PER_PREFIX_PER_SECOND, ARRIVALS_PREFIX_BURST, now
        )
        was_quiet = prefix.tokens(now) >= ARRIVALS_PREFIX_BURST - ARRIVALS_QUIET
        if not prefix.take(now):
            return False
        return self._pace.take(now) or was_quiet

    def _pace_of(self, who: str, per_second: float, burst: float, now: float) -> TokenBucket:
        pace = self._paces.pop(who, None) or TokenBucket(
            per_second=per_second, burst=burst, now=now
        )
        self._paces[who] = pace
        if len(self._paces) > ARRIVALS_REMEMBERED_MAX:
            self._paces.popitem(last=False)
        return pace
