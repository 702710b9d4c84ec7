"""Whom to hang up on when strangers have taken all places; pure.

Whoever wants our places for himself alone has to be older, more useful and from more
places than those who have them. What he can have at once, young connections from
few prefixes, goes first.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from p2pgrid.limits.net import EVICTION_SPARES_PREFIXES, EVICTION_SPARES_USEFUL
from p2pgrid.model.ids import NodeId
from p2pgrid.net.links import NEVER, Link


def whom_to_evict(inbound: Sequence[Link]) -> NodeId | None:
    """One of `inbound`; None when all deserve their place."""
    rest = _by_age(inbound)
    rest = _without(rest, _most_useful(rest))
    rest = _without(rest, _oldest_of_prefixes(rest))
    rest = rest[(len(rest) + 1) // 2 :]
    if not rest:
        return None
    crowd = Counter(link.prefix for link in inbound)
    return max(rest, key=lambda link: (crowd[link.prefix], link.since, link.peer)).peer


def _by_age(links: Iterable[Link]) -> list[Link]:
    """The oldest first."""
    return sorted(links, key=lambda link: (link.since, link.peer))


def _without(links: Iterable[Link], spared: Iterable[Link]) -> list[Link]:
    peers = {link.peer for link in spared}
    return [link for link in links if link.peer not in peers]


def _most_useful(links: Iterable[Link]) -> list[Link]:
    useful = [link for link in links if link.useful_at != NEVER]
    return sorted(useful, key=lambda link: -link.useful_at)[:EVICTION_SPARES_USEFUL]


def _oldest_of_prefixes(by_age: Iterable[Link]) -> list[Link]:
    """One of each prefix, of the prefixes that have been with us longest."""
    firsts: dict[str, Link] = {}
    for link in by_age:
        firsts.setdefault(link.prefix, link)
    return list(firsts.values())[:EVICTION_SPARES_PREFIXES]
