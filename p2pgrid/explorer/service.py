"""Gives the view its network: gossip in and out, pulls from peers, answers to light peers."""

import logging
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Protocol, TypeVar

import trio
from nacl.signing import SigningKey

from p2pgrid.crdt import reconcile
from p2pgrid.crdt.register import register_key
from p2pgrid.errors import GridError, PeerError, Refused, StoreFailed
from p2pgrid.explorer.announce import (
    Announcer,
    Load,
    NodeFacts,
    Stamp,
    announcement_of,
    update_of,
)
from p2pgrid.explorer.archive import Archive
from p2pgrid.explorer.pace import Pace
from p2pgrid.explorer.query import ANY_NODE, FarmView, NodeFilter, NodeSort, NodeView
from p2pgrid.explorer.questions import Page, Query, Submit, page_of
from p2pgrid.explorer.records import HUB_KINDS, ExplorerRecord, verify_record
from p2pgrid.explorer.status import ExplorerStatus, status_of
from p2pgrid.explorer.view import View
from p2pgrid.limits.explorer import (
    ANNOUNCE_CHECK_SECONDS,
    EXPIRY_SECONDS,
    PULL_PAUSE_SECONDS_MAX,
    PULL_PAUSE_SECONDS_MIN,
    PULL_PAUSES_SECONDS,
    PULL_SECONDS_MAX,
    PULL_VERIFY_BATCH,
    PULLS_AT_ONCE,
)
from p2pgrid.limits.net import REQUEST_SECONDS_MAX
from p2pgrid.model.flist import FlistName
from p2pgrid.model.ids import FlistId, NetworkId, NodeId, short
from p2pgrid.net.network import Method, Network, PeerDown, PeerUp, Topic, Verdict, blaming
from p2pgrid.store.store import Store
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import decode, encode, kind_of
from p2pgrid.wire.signed import Signed

log = logging.getLogger(__name__)

_R = TypeVar("_R", bound=ExplorerRecord)


class Announced(Protocol):
    """What the announcement loop needs to know; both are asked every few seconds."""

    def facts(self) -> NodeFacts:
        """What the node has to say of itself."""
        ...

    def load(self) -> Load:
        """How much of it is free."""
        ...


class ExplorerService:
    """Holds the view of a full peer. One task calls `run`."""

    def __init__(
        self,
        network: Network,
        store: Store,
        network_id: NetworkId,
        now_ms: Callable[[], TimestampMs],
        *,
        random: Random,
    ) -> None:
        self._network = network
        self._network_id = network_id
        self._now_ms = now_ms
        self._random = random
        self._archive = Archive(store, network_id, now_ms)
        self._pace = Pace()
        self._joined: dict[NodeId, None] = {}
        """Peers that came up and were not pulled from yet, in order."""
        self._wake = trio.Event()
        self._recheck = trio.Event()
        self._pulled_ms: dict[NodeId, TimestampMs] = {}
        """When each connected peer was last pulled from to the end."""
        self._heard_ms: TimestampMs | None = None
        """When something new was heard last."""
        self.pulls = 0
        """Pulls that went through to the end."""
        self.pulled = trio.Event()
        """Set once the first pull went through."""

    # --- queries ----------------------------------------------------------------------------------

    @property
    def view(self) -> View:
        """All that is known. Its queries take the present; the methods here fill it in."""
        return self._archive.view

    def nodes(
        self,
        wanted: NodeFilter = ANY_NODE,
        *,
        sort: NodeSort = NodeSort.PRICE,
        limit: int | None = None,
    ) -> tuple[NodeView, ...]:
        """The nodes that match, in order."""
        return self.view.nodes(wanted, now_ms=self._now_ms(), sort=sort)[:limit]

    def node(self, node: NodeId) -> NodeView | None:
        """One node, if it is known and has not said goodbye."""
        return self.view.node(node, now_ms=self._now_ms())

    def farms(self, wanted: str = "") -> tuple[FarmView, ...]:
        """Farms by name or first hex digits of the id; empty for all."""
        return self.view.farms(wanted, now_ms=self._now_ms())

    def flist_names(self, title: str = "") -> tuple[FlistName, ...]:
        """Published names of flists by title; empty for all."""
        return self.view.flist_names(title, now_ms=self._now_ms())

    def holders(self, flist: FlistId) -> tuple[NodeId, ...]:
        """Nodes that can serve `flist`, sorted by id."""
        return self.view.holders(flist, now_ms=self._now_ms())

    def status(self) -> ExplorerStatus:
        """How complete and how fresh the view is."""
        return status_of(
            self.view,
            self._network.peers(),
            pulled_ms=self._pulled_ms,
            heard_ms=self._heard_ms,
            now_ms=self._now_ms(),
        )

    # --- speaking ---------------------------------------------------------------------------------

    async def publish(self, signed: Signed[_R]) -> None:
        """Store a record of our own durably, then tell the grid.

        Raises:
            Refused: it is too large, or there is a newer one.
            StoreFailed: it was not stored and not sent.
        """
        await self._archive.keep(signed)
        await self._gossip(signed)

    async def publish_next(self, key: SigningKey, build: Callable[[Stamp], _R]) -> Signed[_R]:
        """Sign, store and publish the next record of one of our own registers.

        Args:
            key: its author's.
            build: makes the record for a stamp; it is called twice.

        Raises:
            Refused: it is too large.
            StoreFailed: it was not stored and not sent.
        """
        signed = await self._archive.sign_next(key, build)
        await self._gossip(signed)
        return signed

    async def announce(self, key: SigningKey, source: Announced) -> None:
        """Keep the grid informed about this node, until cancelled."""
        announcer = Announcer()
        while True:
            self._recheck = trio.Event()  # before looking, so that no change is missed
            facts, load = source.facts(), source.load()
            due = announcer.due(facts, load, self._now_ms())
            try:
                if due.announcement:
                    await self.publish_next(key, partial(announcement_of, facts))
                if due.update:
                    await self.publish_next(key, partial(update_of, facts.node, load))
            except (Refused, StoreFailed) as error:
                log.warning("this node cannot announce itself: %s", error)
            with trio.move_on_after(ANNOUNCE_CHECK_SECONDS):
                await self._recheck.wait()

    def recheck(self) -> None:
        """Say that a reservation began or ended, so that the grid hears of it now."""
        self._recheck.set()

    async def _gossip(self, signed: Signed[_R]) -> None:
        topic = Topic.HUB if kind_of(type(signed.record)) in HUB_KINDS else Topic.CAPACITY
        await self._network.publish(topic, signed.envelope)

    # --- listening --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Listen, answer and catch up until cancelled."""
        channels = [
            self._network.subscribe(topic, partial(self.judge, topic))
            for topic in (Topic.CAPACITY, Topic.HUB)
        ]
        self._network.serve(Method.RECONCILE_EXPLORER, self._answer_reconcile)
        self._network.serve(Method.EXPLORER_QUERY, self._answer_query)
        events = self._network.peer_events()
        self._joined |= dict.fromkeys(self._network.peers())
        async with trio.open_nursery() as nursery:
            for channel in channels:
                nursery.start_soon(_drain, channel)
            nursery.start_soon(self._watch_peers, events)
            for _ in range(PULLS_AT_ONCE):
                nursery.start_soon(self._greet)
            nursery.start_soon(self._catch_up)
            nursery.start_soon(self._expire)

    def judge(self, topic: Topic, forwarder: NodeId, data: bytes) -> Verdict:
        """Take a gossip message into the view, and say what becomes of it."""
        if forwarder == self._network.id:
            return Verdict.ACCEPT  # our own, on its way out
        try:
            signed = verify_record(data, self._network_id)
        except PeerError as error:
            log.info("%s forwarded garbage: %s", short(forwarder), error)
            return Verdict.REJECT
        if signed is None:
            return Verdict.IGNORE
        if (kind_of(type(signed.record)) in HUB_KINDS) != (topic is Topic.HUB):
            return Verdict.REJECT
        return self._hear(signed)

    def _hear(self, signed: Signed[ExplorerRecord]) -> Verdict:
        """Take a verified record from gossip. Timing and rate are never the forwarder's fault."""
        now_ms = self._now_ms()
        is_news = self.view.refusal(signed, now_ms) is None
        if is_news and not self._pace.take(register_key(signed), now_ms):
            return Verdict.IGNORE  # a pull brings it later, if it is still the newest then
        return Verdict.ACCEPT if self._take(signed, now_ms) else Verdict.IGNORE

    def _take(self, signed: Signed[ExplorerRecord], now_ms: TimestampMs) -> bool:
        """Whether a verified record is news, and now part of the view."""
        is_taken = self._archive.admit(signed).refusal is None
        if is_taken:
            self._heard_ms = now_ms
        return is_taken

    async def _watch_peers(self, events: trio.MemoryReceiveChannel[object]) -> None:
        async for event in events:
            if isinstance(event, PeerUp):
                self._joined[event.peer] = None
                self._wake.set()
                self._wake = trio.Event()
            elif isinstance(event, PeerDown):
                self._pulled_ms.pop(event.peer, None)

    async def _expire(self) -> None:
        while True:
            await trio.sleep(EXPIRY_SECONDS)
            try:
                self._archive.expire()
            except StoreFailed as error:
                log.warning("the explorer cannot drop old records: %s", error)

    # --- catching up ------------------------------------------------------------------------------

    async def _greet(self) -> None:
        """Pull from every peer that comes up. Several do this, so that a slow peer is no brake."""
        while True:
            while self._joined:
                peer = next(iter(self._joined))
                del self._joined[peer]
                await self._pull_all(peer)
            await self._wake.wait()

    async def _catch_up(self) -> None:
        """Pull from a random peer now and then: gossip loses messages."""
        rounds = 0
        while True:
            await trio.sleep(self._pause_seconds(rounds))
            rounds += 1
            if peers := self._network.peers():
                await self._pull_all(self._random.choice(peers))

    def _pause_seconds(self, rounds: int) -> float:
        if rounds < len(PULL_PAUSES_SECONDS):
            return PULL_PAUSES_SECONDS[rounds]
        return self._random.uniform(PULL_PAUSE_SECONDS_MIN, PULL_PAUSE_SECONDS_MAX)

    async def _pull_all(self, peer: NodeId) -> None:
        """Pull what `peer` has and we lack; whatever it does, we go on."""
        try:
            with trio.fail_after(PULL_SECONDS_MAX):
                while await self._pull(peer):
                    pass
        except (GridError, trio.TooSlowError) as error:
            log.debug("pulling from %s: %r", short(peer), error)
            return
        if peer in self._network.peers():
            self._pulled_ms[peer] = self._now_ms()
        self.pulls += 1
        self.pulled.set()

    async def _pull(self, peer: NodeId) -> bool:
        """One pull; whether it brought news and there is more."""
        pull = reconcile.Pull(self.view.ids, skip=self.view.unwanted)
        taken = 0
        while (request := pull.next_request()) is not None:
            with trio.fail_after(REQUEST_SECONDS_MAX):
                reply = await self._network.request(peer, Method.RECONCILE_EXPLORER, request)
            with blaming(self._network, peer):
                for number, envelope in enumerate(pull.receive(reply)):
                    if number % PULL_VERIFY_BATCH == 0:
                        await trio.lowlevel.checkpoint()
                    signed = verify_record(envelope, self._network_id)
                    if signed is not None and self._take(signed, self._now_ms()):
                        taken += 1
        if taken:
            log.debug("%d records from %s", taken, short(peer))
        return pull.is_partial and taken > 0

    # --- answering --------------------------------------------------------------------------------

    async def _answer_reconcile(self, _peer: NodeId, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return reconcile.answer(self.view, body)

    async def _answer_query(self, _peer: NodeId, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        query = decode(Query, body)
        if isinstance(query.question, Submit):
            await self._take_submitted(query.question.envelope)
            return encode(Page())
        return encode(page_of(self.view, query.question, query.skip, self._now_ms()))

    async def _take_submitted(self, envelope: bytes) -> None:
        signed = verify_record(envelope, self._network_id)
        if signed is None:
            raise Refused("this node does not know that kind of record")
        if self._hear(signed) is Verdict.ACCEPT:
            await self._gossip(signed)
        elif self.view.record(signed.id) is None:
            raise Refused("there is a newer record, its time is wrong, or it comes too fast")


async def _drain(channel: trio.MemoryReceiveChannel[object]) -> None:
    """Take delivered messages off: the validator has done the work already."""
    async for _ in channel:
        pass
