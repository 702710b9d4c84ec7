"""A simulated full peer: the program's own cores, driven by events instead of tasks.

It does what `explorer/service.py`, `net/catching_up.py` and the shell of the router do. View,
hearing, announcer, router, catch-up and answers are those of the program.
"""

from collections.abc import Callable, Iterable
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Protocol, TypeVar

from nacl.signing import SigningKey

from p2pgrid.crdt.answerer import Answerer
from p2pgrid.crdt.catch_up import CatchUp, Outcome
from p2pgrid.crdt.reconcile import Pull
from p2pgrid.crdt.register import register_key
from p2pgrid.errors import PeerError
from p2pgrid.explorer.admission import Admission
from p2pgrid.explorer.announce import (
    Announcer,
    Load,
    NodeFacts,
    Stamp,
    announcement_of,
    next_stamp,
    update_of,
)
from p2pgrid.explorer.archive import Archive
from p2pgrid.explorer.hearing import Hearing
from p2pgrid.explorer.records import ExplorerRecord
from p2pgrid.explorer.service import RHYTHM
from p2pgrid.explorer.view import View
from p2pgrid.limits.net import REQUEST_SECONDS_MAX
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import Topic, Verdict
from p2pgrid.net.spread_messages import SpreadMessage
from p2pgrid.net.spreading import Effect, Send
from p2pgrid.simulation.coroutines import result_of
from p2pgrid.simulation.wires import Wire
from p2pgrid.units import SECOND_MS, TimestampMs
from p2pgrid.wire.signed import Signed, sign

if TYPE_CHECKING:
    from p2pgrid.simulation.world import World

_R = TypeVar("_R", bound=ExplorerRecord)


class Keeper(Protocol):
    """What holds a node's records: memory alone, or with a disk."""

    @property
    def view(self) -> View:
        """All that the node knows."""
        ...

    def admit(self, signed: Signed[ExplorerRecord]) -> Admission:
        """Take a verified record, unless a rule refuses it."""
        ...

    def sign_next(self, key: SigningKey, build: Callable[[Stamp], _R]) -> Signed[_R]:
        """The next record of one of the node's own registers."""
        ...


class InMemory:
    """Keeps records of a node that never dies."""

    __slots__ = ("_now_ms", "_world", "view")

    def __init__(self, view: View, world: "World", now_ms: Callable[[], TimestampMs]) -> None:
        self.view = view
        self._world = world
        self._now_ms = now_ms

    def admit(self, signed: Signed[ExplorerRecord]) -> Admission:
        """Take a verified record, unless a rule refuses it."""
        return self.view.accept(signed, self._now_ms())

    def sign_next(self, key: SigningKey, build: Callable[[Stamp], _R]) -> Signed[_R]:
        """The next record of one of the node's own registers."""
        network = self._world.network
        held = self.view.get(register_key(sign(build(Stamp(0, 0, self._now_ms())), key, network)))
        said = None if held is None else held.record
        last = None if said is None else Stamp(said.incarnation, said.sequence, said.time_ms)
        stamp = next_stamp(last, self._world.first_incarnation, self._now_ms())
        signed = sign(build(stamp), key, network)
        self.admit(signed)  # type: ignore[arg-type]  # _R is one of the explorer's records
        return signed


class OnDisk:
    """Keeps records of a node that may die: the program's own archive."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    @property
    def view(self) -> View:
        """All that the node knows."""
        return self._archive.view

    def admit(self, signed: Signed[ExplorerRecord]) -> Admission:
        """Take a verified record, unless a rule refuses it."""
        return self._archive.admit(signed)

    def sign_next(self, key: SigningKey, build: Callable[[Stamp], _R]) -> Signed[_R]:
        """The next record of one of the node's own registers, durable."""
        return result_of(self._archive.sign_next(key, build))


class Exchange:
    """One pull under way: a step of it counts once, however often a message of it arrives."""

    __slots__ = ("begun_at", "incarnation", "peer", "pull", "step", "taken")

    def __init__(self, pull: Pull, peer: NodeId, begun_at: float, incarnation: int) -> None:
        self.pull, self.peer, self.begun_at = pull, peer, begun_at
        self.incarnation = incarnation
        self.step = self.taken = 0


class Link:
    """One direction between two nodes that know each other."""

    __slots__ = ("is_open", "source", "target", "wire")

    def __init__(self, source: NodeId, target: "Node", wire: Wire) -> None:
        self.source, self.target, self.wire = source, target, wire
        self.is_open = False

    def bring(self, message: SpreadMessage) -> None:
        """A message arrives, if the nodes are still connected."""
        if self.is_open:
            self.target.hear(self.source, message)


class Node:
    """One node from its birth on; `boot` begins a new incarnation."""

    # Of a thousand nodes little is in the processor's caches: what is together is found sooner.
    __slots__ = (
        "_judge",
        "_plan_at",
        "_tick_at",
        "announcer",
        "answerer",
        "booted_at",
        "facts",
        "hearing",
        "id",
        "incarnations",
        "is_up",
        "keeper",
        "key",
        "links",
        "load",
        "number",
        "plan",
        "random",
        "router",
        "skew_ms",
        "view",
        "world",
    )

    is_honest = True
    is_settled = True
    """Whether it has its place among the others from the start."""

    def __init__(self, world: "World", number: int, key: SigningKey, facts: NodeFacts) -> None:
        self.world, self.number, self.key, self.facts = world, number, key, facts
        self.id: NodeId = facts.node
        self.random = world.scheduler.random_of(f"node {number}")
        self.skew_ms = self.random.randint(-world.skew_ms_max, world.skew_ms_max)
        self.links: dict[NodeId, Link] = {}
        """By peer; open while neither is down nor a partition lies between."""
        self.load = Load(facts.total.less(facts.system), 0)
        self.is_up = False
        self.incarnations = 0

    def boot(self, keeper: Keeper) -> None:
        """Be up, with what `keeper` has, connected to nobody yet."""
        self.keeper, self.view = keeper, keeper.view
        self.view.protect(self.id)
        self.hearing, self.announcer = Hearing(self.view, self._take), Announcer()
        self.router = self.world.router_of(self)
        self._judge = self.judge
        self.plan = CatchUp(RHYTHM, self.random, self._clock_ms())
        self.answerer = Answerer(self.view, self.random)
        self.is_up = True
        self.booted_at = self.world.scheduler.now
        self.incarnations += 1
        self._tick_at = self._plan_at = inf

    def link(self, peer: "Node", wire: Wire) -> None:
        """Know a peer."""
        self.links[peer.id] = Link(self.id, peer, wire)

    def peers(self) -> list[int]:
        """The numbers of all peers that it knows."""
        return [link.target.number for link in self.links.values()]

    def now_ms(self) -> TimestampMs:
        """What its clock says."""
        return self.world.true_ms() + self.skew_ms  # type: ignore[return-value]  # a call less

    def connected(self, peer: NodeId) -> None:
        """A connection is open."""
        self.perform(self.router.peer_up(peer, self.world.scheduler.now))
        self.plan.peer_up(peer)
        self._catch_up_later()

    def disconnected(self, peer: NodeId) -> None:
        """A connection is gone."""
        self.perform(self.router.peer_down(peer, self.world.scheduler.now))
        self.plan.peer_down(peer)
        self._catch_up_later()

    # --- speaking ---------------------------------------------------------------------------------

    def speak(self) -> None:
        """Publish what is due, as the program's announcement loop does."""
        due = self.announcer.due(self.facts, self.load, self.now_ms())
        if due.announcement:
            self.publish(self.keeper.sign_next(self.key, partial(announcement_of, self.facts)))
        if due.update:
            update = partial(update_of, self.id, self.load)
            self.publish(self.keeper.sign_next(self.key, update))

    def publish(self, signed: Signed[_R]) -> None:
        """Tell the grid of a record of our own."""
        self.world.published(self, signed)
        now = self.world.scheduler.now
        self.perform(self.router.publish(Topic.CAPACITY, signed.envelope, now))

    def perform(self, effects: Iterable[Effect]) -> None:
        """Do what the router wants done, and wake it when it wants to be woken."""
        for effect in effects:
            if isinstance(effect, Send):
                self.send(effect.peer, effect.message)
            else:
                self.world.blamed(self, effect.peer)
        wake_at = self.router.wake_at
        if wake_at < self._tick_at:
            self._tick_at = wake_at
            when = max(wake_at, self.world.scheduler.now)
            self.world.scheduler.at(when, self._tick, self.incarnations)

    def send(self, peer: NodeId, message: SpreadMessage) -> None:
        """Give a peer a message of the router."""
        self.world.spread(self, peer, message)

    def _tick(self, incarnation: int) -> None:
        now = self.world.scheduler.now
        if self.is_up and incarnation == self.incarnations and now >= self._tick_at:
            self._tick_at = inf
            self.perform(self.router.tick(now))

    # --- listening --------------------------------------------------------------------------------

    def hear(self, forwarder: NodeId, message: SpreadMessage) -> None:
        """A message of a peer's router came."""
        router = self.router
        effects = router.receive(forwarder, message, self._judge, self.world.scheduler.now)
        if effects or router.wake_at < self._tick_at:
            self.perform(effects)

    def judge(self, _topic: str, _forwarder: NodeId, envelope: bytes) -> Verdict:
        """What becomes of a record that came by gossip; see `ExplorerService.judge`."""
        try:
            signed = self.world.verify(envelope)
        except PeerError:
            self.world.rejected += 1
            return Verdict.REJECT
        if signed is None:
            return Verdict.IGNORE
        return self.hearing.gossiped(signed, self.now_ms())

    def _take(self, signed: Signed[ExplorerRecord], _now_ms: TimestampMs) -> bool:
        """Into the view; whether it was news."""
        is_news = self.keeper.admit(signed).refusal is None
        if is_news:
            self.world.reached(self, signed)
        return is_news

    # --- catching up ------------------------------------------------------------------------------

    def _clock_ms(self) -> int:
        return int(self.world.scheduler.now * SECOND_MS)

    def _catch_up_later(self) -> None:
        """Wake the plan of pulls when it wants to be woken."""
        wake_at = max(self.plan.wake_at() / SECOND_MS, self.world.scheduler.now)
        if wake_at < self._plan_at:
            self._plan_at = wake_at
            self.world.scheduler.at(wake_at, self._catch_up, self.incarnations)

    def _catch_up(self, incarnation: int) -> None:
        now = self.world.scheduler.now
        if not self.is_up or incarnation != self.incarnations or now < self._plan_at:
            return
        self._plan_at = inf
        for identity in self.plan.due(round(now * SECOND_MS)):
            peer = NodeId(identity)
            pull = self.plan.begin(peer, self.view.ids, self.view.unwanted, self._clock_ms())
            self._ask(Exchange(pull, peer, now, self.incarnations))
        self._catch_up_later()

    def _ask(self, exchange: Exchange) -> None:
        request = exchange.pull.next_request()
        if request is None:
            has_more = exchange.pull.is_partial and exchange.taken
            self._end(exchange, Outcome.MORE if has_more else Outcome.LEVEL)
            self.world.pull_ended(self, exchange)
            return
        exchange.step += 1
        told = (self, exchange, exchange.step, request)
        peer = self.world.node_of(exchange.peer)
        self.world.carry(self, peer, len(request), peer.asked, *told)
        too_late = (exchange, exchange.step)
        self.world.scheduler.after(REQUEST_SECONDS_MAX, self._give_up, *too_late)

    def _give_up(self, exchange: Exchange, step: int) -> None:
        if self._is_current(exchange, step):
            self._end(exchange, Outcome.FAILED)

    def _is_current(self, exchange: Exchange, step: int) -> bool:
        is_ours = self.is_up and exchange.incarnation == self.incarnations
        return is_ours and step == exchange.step

    def _end(self, exchange: Exchange, outcome: Outcome) -> None:
        exchange.step += 1
        self.plan.ended(exchange.peer, outcome, self._clock_ms(), exchange.pull)
        self._catch_up_later()

    def asked(self, asker: "Node", exchange: Exchange, step: int, request: bytes) -> None:
        """A request came."""
        answer = self.answer(asker.id, request) if self.is_up else None
        if answer is not None:
            self.world.carry(self, asker, len(answer), asker.answered, exchange, step, answer)

    def answer(self, asker: NodeId, request: bytes) -> bytes | None:
        """What to say to a request; None: nothing."""
        try:
            return self.answerer.answer(asker, request, self._clock_ms())
        except PeerError:
            return None

    def answered(self, exchange: Exchange, step: int, answer: bytes) -> None:
        """The answer to a step came: take what is in it, and go on."""
        if not self._is_current(exchange, step):
            return
        exchange.step += 1  # a second answer to this step means nothing
        try:
            for envelope in exchange.pull.receive(answer):
                signed = self.world.verify(envelope)
                if signed is not None:
                    exchange.taken += self.hearing.pulled(signed, self.now_ms())
        except PeerError:
            self.world.rejected += 1
            self._end(exchange, Outcome.LIED)
            return
        self._ask(exchange)
