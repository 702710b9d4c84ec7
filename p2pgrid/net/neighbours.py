"""Which connections to open, to keep and to close; pure: time and randomness are arguments.

We choose OUTBOUND_WANTED neighbours ourselves, whoever connects to us: strangers could
be our only neighbours otherwise. They are in distinct prefixes as far as there are such
addresses. Those that lasted longest are anchors: stored, and tried first after a
restart, so that it is no chance for anybody to become all that we see. One place
goes round among all addresses known, so that nobody stays all that we see.

    neighbours.hear(address, origin, now, teller)       for every address
    plan = neighbours.plan(links, now)                  every DISCOVERY_ROUND_SECONDS
        dial plan.dial    -> reached(address, prefix, now) or failed(address, now)
        close plan.close
        ask plan.ask      -> hear(…) what it names
    neighbours.anchors(links, now)                      to be stored now and then
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from p2pgrid.limits.net import (
    ANCHOR_SECONDS_MIN,
    ANCHORS_MAX,
    ASK_SECONDS_MAX,
    DIALS_BURST,
    DIALS_PER_SECOND,
    DISCOVERY_DIALS_MAX,
    DISCOVERY_ROUND_SECONDS,
    INBOUND_PEERS_MAX,
    LASTED_SECONDS_MIN,
    ON_DEMAND_PEERS_MAX,
    OUTBOUND_WANTED,
    WANDER_AHEAD_SECONDS,
    WANDER_SECONDS,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import split_address
from p2pgrid.net.candidates import Candidates, Origin
from p2pgrid.net.eviction import whom_to_evict
from p2pgrid.net.links import Link
from p2pgrid.net.pace import TokenBucket
from p2pgrid.net.prefix import prefix_of


@dataclass(frozen=True, slots=True)
class Anchor:
    """A neighbour that we chose and that stayed."""

    peer: NodeId
    address: str
    lasted_seconds: float
    """Over all runs in which it was an anchor."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now."""

    dial: tuple[str, ...]
    close: tuple[NodeId, ...]
    ask: NodeId | None
    """A peer to name others."""


@dataclass(slots=True)
class _Chosen:
    """A neighbour of our choice."""

    address: str
    since: float


class Neighbours:
    """Decides for one node."""

    def __init__(self, own: NodeId, random: Random, now: float) -> None:
        self._random = random
        self._candidates = Candidates(own, random)
        self._chosen: dict[NodeId, _Chosen] = {}
        self._dialling: dict[str, NodeId] = {}
        self._anchors: dict[NodeId, Anchor] = {}
        self._pace = TokenBucket(per_second=DIALS_PER_SECOND, burst=DIALS_BURST, now=now)
        self._wander_at = now + WANDER_SECONDS
        self._ask_at = now
        self._ask_pause_seconds = DISCOVERY_ROUND_SECONDS
        self._known_count = 0

    # --- what happened ----------------------------------------------------------------------------

    def add(self, address: str, origin: Origin, now: float) -> None:
        """Consider an address. Raises BadInput: it is none."""
        self._candidates.add(address, origin, now)

    def hear(self, address: str, origin: Origin, now: float, teller: str = "") -> None:
        """Consider an address that somebody in the prefix `teller` named."""
        self._candidates.hear(address, origin, now, teller)

    def recall(self, anchors: Iterable[Anchor], now: float) -> None:
        """The anchors of the last run; before the first plan."""
        for anchor in anchors:
            self._anchors[anchor.peer] = anchor
            self._candidates.hear(anchor.address, Origin.ANCHOR, now)

    def reached(self, address: str, prefix: str, now: float) -> None:
        """We dialled `address` as planned, and its peer, which speaks from `prefix`, is up."""
        peer = self._dialling.pop(address)
        self._candidates.reached(address, prefix, now)
        self._chosen[peer] = _Chosen(address, now)

    def failed(self, address: str, now: float) -> None:
        """We dialled `address` as planned in vain."""
        del self._dialling[address]
        self._candidates.failed(address, now)

    # --- what to do -------------------------------------------------------------------------------

    def is_chosen(self, peer: NodeId) -> bool:
        """Whether we chose this neighbour ourselves."""
        return peer in self._chosen

    def is_anchor(self, peer: NodeId) -> bool:
        """Whether it will be tried first after a restart."""
        return peer in self._anchors

    def wants_more(self, now: float) -> bool:
        """Whether fresh addresses would be of use."""
        is_due = now >= self._wander_at - WANDER_AHEAD_SECONDS
        return len(self._chosen) < OUTBOUND_WANTED or is_due

    def plan(self, links: Sequence[Link], now: float) -> Plan:
        """What to do about the connections `links`, which are all that there are."""
        self._notice_losses(links, now)
        outbound = self._outbound(links)
        return Plan(
            dial=self._dials(links, outbound, now),
            close=(
                *self._too_many_chosen(outbound, now),
                *self._too_many_on_demand(links),
                *_too_many_inbound(links),
            ),
            ask=self._whom_to_ask(links, now),
        )

    def anchors(self, links: Sequence[Link], now: float) -> tuple[Anchor, ...]:
        """Those that lasted longest, of distinct prefixes if possible; earlier ones fill up."""
        here = {
            link.peer: Anchor(
                link.peer, self._chosen[link.peer].address, self._lasted_seconds(link, now)
            )
            for link in self._outbound(links)
        }
        proven = [one for one in here.values() if one.lasted_seconds >= ANCHOR_SECONDS_MIN]
        proven.sort(key=lambda one: -one.lasted_seconds)
        absent = [one for one in self._anchors.values() if one.peer not in here]
        best: list[Anchor] = []
        for pool in (_of_distinct_prefixes(proven), proven, absent):
            best += [one for one in pool if one not in best][: ANCHORS_MAX - len(best)]
        for one in best:  # what they lasted before is counted from the stored value on
            self._anchors.setdefault(one.peer, Anchor(one.peer, one.address, 0.0))
        kept = {one.peer for one in best}
        self._anchors = {peer: one for peer, one in self._anchors.items() if peer in kept}
        return tuple(best)

    # --- inside -----------------------------------------------------------------------------------

    def _outbound(self, links: Iterable[Link]) -> list[Link]:
        return [link for link in links if link.is_outbound and link.peer in self._chosen]

    def _lasted_seconds(self, link: Link, now: float) -> float:
        before = self._anchors.get(link.peer)
        return now - link.since + (before.lasted_seconds if before is not None else 0.0)

    def _notice_losses(self, links: Iterable[Link], now: float) -> None:
        here = {link.peer for link in links if link.is_outbound}
        for peer in [peer for peer in self._chosen if peer not in here]:
            lost = self._chosen.pop(peer)
            self._ask_pause_seconds = DISCOVERY_ROUND_SECONDS
            if now - lost.since >= LASTED_SECONDS_MIN:
                self._candidates.lasted(lost.address)
            else:
                self._candidates.failed(lost.address, now)
            anchor = self._anchors.get(peer)
            if anchor is not None:
                lasted = anchor.lasted_seconds + now - lost.since
                self._anchors[peer] = Anchor(peer, lost.address, lasted)

    def _dials(self, links: Sequence[Link], outbound: list[Link], now: float) -> tuple[str, ...]:
        prefixes = Counter(link.prefix for link in outbound)
        wanted = OUTBOUND_WANTED - len(outbound) - len(self._dialling)
        only_new = wanders = False
        if wanted <= 0 and self._dialling:
            return ()
        if wanted <= 0 and now >= self._wander_at:
            wanted, wanders = 1, True
            self._wander_at = now + WANDER_SECONDS * self._random.uniform(0.5, 1.5)
        elif wanted <= 0 and len(prefixes) < len(outbound):
            wanted, only_new = 1, True  # one that shares its prefix with another makes place
        count = min(wanted, DISCOVERY_DIALS_MAX - len(self._dialling), int(self._pace.tokens(now)))
        if count <= 0:
            return ()
        addresses = self._candidates.choose(
            count,
            now,
            without={link.peer for link in links} | set(self._dialling.values()),
            taken=prefixes.keys(),
            only_new=only_new,
            of_any_origin=wanders,
        )
        for address in addresses:
            self._pace.take(now)
            self._dialling[address] = split_address(address)[1]
        return tuple(addresses)

    def _too_many_chosen(self, outbound: Sequence[Link], now: float) -> list[NodeId]:
        """One, if there are too many: of those that share a prefix the one that lasted least.

        Without such it is whoever lasted least; but not the one that has just come to take a place.
        """
        if len(outbound) <= OUTBOUND_WANTED:
            return []
        crowd = Counter(link.prefix for link in outbound)
        newest = max(outbound, key=lambda link: link.since)
        others = [link for link in outbound if link is not newest and not link.is_busy]
        others.sort(key=lambda link: -self._lasted_seconds(link, now))
        shared = [link for link in others if crowd[link.prefix] > 1]
        return [link.peer for link in (shared or others)[-1:]]

    def _too_many_on_demand(self, links: Iterable[Link]) -> list[NodeId]:
        """Of those dialled for a request, the longest useless."""
        idle = [link for link in links if link.is_outbound and link.peer not in self._chosen]
        idle.sort(key=lambda link: max(link.since, link.useful_at))
        spare = [link.peer for link in idle if not link.is_busy]
        return spare[: max(0, len(idle) - ON_DEMAND_PEERS_MAX)]

    def _whom_to_ask(self, links: Sequence[Link], now: float) -> NodeId | None:
        if not links or now < self._ask_at or not self.wants_more(now):
            return None
        if len(self._candidates) > self._known_count:  # the last answers were worth it
            self._ask_pause_seconds = DISCOVERY_ROUND_SECONDS
        self._known_count = len(self._candidates)
        self._ask_at = now + self._ask_pause_seconds
        self._ask_pause_seconds = min(2 * self._ask_pause_seconds, ASK_SECONDS_MAX)
        prefix = self._random.choice(sorted({link.prefix for link in links}))
        return self._random.choice([link.peer for link in links if link.prefix == prefix])


def _too_many_inbound(links: Iterable[Link]) -> list[NodeId]:
    inbound = [link for link in links if not link.is_outbound]
    gone: list[NodeId] = []
    while len(inbound) > INBOUND_PEERS_MAX:
        peer = whom_to_evict(inbound)
        if peer is None:
            break
        gone.append(peer)
        inbound = [link for link in inbound if link.peer != peer]
    return gone


def _of_distinct_prefixes(anchors: Iterable[Anchor]) -> list[Anchor]:
    firsts: dict[str, Anchor] = {}
    for anchor in anchors:
        firsts.setdefault(prefix_of(anchor.address), anchor)
    return list(firsts.values())
