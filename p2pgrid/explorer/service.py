"""Gives the view its network: gossip in and out, pulls from peers, answers to light peers."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import Protocol, TypeVar

import trio
from nacl.signing import SigningKey

from p2pgrid.crdt.catch_up import Rhythm
from p2pgrid.errors import PeerError, Refused, StoreFailed
from p2pgrid.explorer.announce import (
    Announcer,
    Load,
    NodeFacts,
    Stamp,
    announcement_of,
    update_of,
)
from p2pgrid.explorer.archive import Archive
from p2pgrid.explorer.hearing import Hearing
from p2pgrid.explorer.proof_exchange import ProofExchange
from p2pgrid.explorer.query import ANY_NODE, FarmView, NodeFilter, NodePage, NodeSort, NodeView
from p2pgrid.explorer.questions import (
    AskProofs,
    Page,
    Query,
    Submit,
    page_of,
    page_of_proofs,
)
from p2pgrid.explorer.records import (
    HUB_KINDS,
    ExplorerRecord,
    id_of,
    is_contradiction,
    read_contradiction,
    verify_contradiction,
    verify_record,
)
from p2pgrid.explorer.selection import WHOLE, Cut
from p2pgrid.explorer.status import ExplorerStatus, status_of
from p2pgrid.explorer.view import View
from p2pgrid.limits.crdt import CURSOR_TRUST_MS
from p2pgrid.limits.explorer import (
    ANNOUNCE_CHECK_SECONDS,
    COLUMNS_SLICE,
    EXPIRY_SECONDS,
    GOODBYE_SECONDS_MAX,
    GOODBYE_TRAVEL_SECONDS,
    PULL_BACK_OFF_MS_MIN,
    PULL_IDLE_SECONDS_MAX,
    PULL_IN_VAIN_MAX,
    PULL_PAUSE_SECONDS_MAX,
    PULL_PAUSE_SECONDS_MIN,
    PULL_PAUSES_SECONDS,
    PULL_SECONDS_MAX,
    PULL_STORE_BATCH,
    PULL_VERIFY_BATCH,
    PULLS_AT_ONCE,
)
from p2pgrid.model.flist import FlistName
from p2pgrid.model.ids import FlistId, NetworkId, NodeId, short
from p2pgrid.model.node import NodeStatus
from p2pgrid.net.catching_up import CatchingUp, Tempo
from p2pgrid.net.network import Method, Network, Topic, Verdict
from p2pgrid.store.store import Store
from p2pgrid.units import SECOND_MS, TimestampMs
from p2pgrid.wire.codec import decode, encode, kind_of
from p2pgrid.wire.signed import Signed

log = logging.getLogger(__name__)

_R = TypeVar("_R", bound=ExplorerRecord)

RHYTHM = Rhythm(
    first_pauses_ms=tuple(int(pause * SECOND_MS) for pause in PULL_PAUSES_SECONDS),
    pause_ms_min=int(PULL_PAUSE_SECONDS_MIN * SECOND_MS),
    pause_ms_max=int(PULL_PAUSE_SECONDS_MAX * SECOND_MS),
    at_once=PULLS_AT_ONCE,
    same_peer_ms_min=0,
    trust_ms=CURSOR_TRUST_MS,
    back_off_ms_min=PULL_BACK_OFF_MS_MIN,
)
_TEMPO = Tempo(RHYTHM, PULL_SECONDS_MAX, PULL_IDLE_SECONDS_MAX, PULL_IN_VAIN_MAX)


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
        self._archive = Archive(store, network_id, now_ms)
        self._hearing = Hearing(self.view, self._take)
        self._catching_up = CatchingUp(
            network,
            Method.RECONCILE_EXPLORER,
            self.view,
            self._take_pulled,
            tempo=_TEMPO,
            random=random,
        )
        self._proofs = ProofExchange(network, self.view.contradictions, self._judge_proof, random)
        self._recheck = trio.Event()
        self._is_leaving = False
        self._left = trio.Event()
        self._heard_ms: TimestampMs | None = None
        """When something new was heard last."""

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
        return self.page(wanted, Cut(sort, limit=limit)).rows

    def page(self, wanted: NodeFilter = ANY_NODE, cut: Cut = WHOLE) -> NodePage:
        """Some of the nodes that match, in order, and how many match in all."""
        near = self._network.round_trips_us()
        return self.view.page(wanted, cut, now_ms=self._now_ms(), round_trips=near)

    def node(self, node: NodeId) -> NodeView | None:
        """One node, if it is known."""
        near = self._network.round_trips_us()
        return self.view.node(node, now_ms=self._now_ms(), round_trips=near)

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
            pulled_ms=self._pulled_ms(),
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
        """Keep the grid informed about this node, until cancelled or after `leave`."""
        announcer = Announcer()
        while not self._is_leaving:
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
        gone = replace(source.facts(), status=NodeStatus.GONE)
        try:
            await self.publish_next(key, partial(announcement_of, gone))
        except (Refused, StoreFailed) as error:
            log.warning("this node cannot say that it goes: %s", error)
        self._left.set()

    async def leave(self) -> None:
        """Have `announce` say that this node goes; ends soon, also when that fails."""
        self._is_leaving = True
        self._recheck.set()
        with trio.move_on_after(GOODBYE_SECONDS_MAX):
            await self._left.wait()
            if self._network.peers():
                await trio.sleep(GOODBYE_TRAVEL_SECONDS)

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
        self._network.serve(Method.EXPLORER_QUERY, self._answer_query)
        async with trio.open_nursery() as nursery:
            for channel in channels:
                nursery.start_soon(_drain, channel)
            nursery.start_soon(self._catching_up.run)
            nursery.start_soon(self._expire)
            nursery.start_soon(self._proofs.run, self.pulled)

    def judge(self, topic: Topic, forwarder: NodeId, data: bytes) -> Verdict:
        """Take a gossip message into the view, and say what becomes of it."""
        if forwarder == self._network.id:
            return Verdict.ACCEPT  # our own, on its way out
        try:
            signed = verify_record(data, self._network_id)
            if signed is None:
                return self._judge_proof(data)
            return self._judge_record(topic, forwarder, signed)
        except PeerError as error:
            log.info("%s forwarded garbage: %s", short(forwarder), error)
            return Verdict.REJECT

    def _judge_record(
        self, topic: Topic, forwarder: NodeId, signed: Signed[ExplorerRecord]
    ) -> Verdict:
        if (kind_of(type(signed.record)) in HUB_KINDS) != (topic is Topic.HUB):
            return Verdict.REJECT
        now_ms = self._now_ms()
        verdict = self._hearing.gossiped(signed, now_ms)
        if verdict is Verdict.IGNORE and self.view.refusal(signed, now_ms) is None:
            self._catching_up.pull_later(forwarder)  # it came too fast, and may be the last word
        return verdict

    def _judge_proof(self, data: bytes) -> Verdict:
        """Take a proof that somebody lies; other kinds are those of newer programs.

        Raises PeerError. What there is no room for is not looked at.
        """
        if not is_contradiction(data) or self.view.contradictions.is_full:
            return Verdict.IGNORE
        claimed, _ = read_contradiction(data, self._network_id)
        if not self.view.wants_proof(claimed):
            return Verdict.IGNORE
        key, proof = verify_contradiction(data, self._network_id)
        self._archive.admit_contradiction(key, proof)
        log.warning("%s says two things at once", short(NodeId(key.author)))
        return Verdict.ACCEPT

    def _take(self, signed: Signed[ExplorerRecord], now_ms: TimestampMs) -> bool:
        """Whether a verified record is news, and now part of the view."""
        admission = self._archive.admit(signed)
        if admission.contradicted is not None:
            proof = self.view.contradictions.get(admission.contradicted)
            if proof is not None:
                self._proofs.tell(proof)
        is_taken = admission.refusal is None
        if is_taken:
            self._heard_ms = now_ms
        return is_taken

    async def _expire(self) -> None:
        while True:
            await trio.sleep(EXPIRY_SECONDS)
            try:
                self._archive.expire()
            except StoreFailed as error:
                log.warning("the explorer cannot drop old records: %s", error)

    # --- catching up ------------------------------------------------------------------------------

    @property
    def pulls(self) -> int:
        """Pulls that went through to the end."""
        return self._catching_up.pulls

    @property
    def pulled(self) -> trio.Event:
        """Set once the first pull went through."""
        return self._catching_up.pulled

    def _pulled_ms(self) -> dict[NodeId, TimestampMs]:
        """When each connected peer was last pulled from to the end."""
        now, now_ms = trio.current_time(), self._now_ms()
        return {
            peer: TimestampMs(now_ms - round((now - then) * SECOND_MS))
            for peer, then in self._catching_up.level_at_of.items()
        }

    async def _take_pulled(self, envelopes: tuple[bytes, ...]) -> int:
        """Verify and store what a peer sent; how many were news. Raises PeerError."""
        taken = 0
        for start in range(0, len(envelopes), PULL_STORE_BATCH):
            verified: list[Signed[ExplorerRecord]] = []
            try:
                for number, envelope in enumerate(envelopes[start : start + PULL_STORE_BATCH]):
                    if number % PULL_VERIFY_BATCH == 0:
                        await trio.lowlevel.checkpoint()
                    if self._is_settled(envelope):
                        continue
                    signed = verify_record(envelope, self._network_id)
                    verified += [] if signed is None else [signed]
            finally:  # what came before something that is wrong is right
                with self._archive.one_write():
                    taken += sum(self._hearing.pulled(one, self._now_ms()) for one in verified)
        return taken

    def _is_settled(self, envelope: bytes) -> bool:
        """Whether the record is here or was refused for good, so that no signature is checked."""
        identity = id_of(envelope, self._network_id)
        return identity in self.view.ids or identity in self.view.unwanted

    # --- answering --------------------------------------------------------------------------------

    async def _answer_query(self, _peer: NodeId, body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        query = decode(Query, body)
        if isinstance(query.question, Submit):
            await self._take_submitted(query.question.envelope)
            return encode(Page())
        if isinstance(query.question, AskProofs):
            return encode(page_of_proofs(self.view, query.question.known, query.skip))
        is_behind = True  # after a start by the whole grid
        while is_behind:
            await trio.lowlevel.checkpoint()
            is_behind = self.view.columns.bring(COLUMNS_SLICE)
        return encode(page_of(self.view, query.question, query.skip, self._now_ms()))

    async def _take_submitted(self, envelope: bytes) -> None:
        signed = verify_record(envelope, self._network_id)
        if signed is None:
            raise Refused("this node does not know that kind of record")
        if self._hearing.gossiped(signed, self._now_ms()) is Verdict.ACCEPT:
            await self._gossip(signed)
        elif self.view.record(signed.id) is None:
            raise Refused("there is a newer record, its time is wrong, or it comes too fast")


async def _drain(channel: trio.MemoryReceiveChannel[object]) -> None:
    """Take delivered messages off: the validator has done the work already."""
    async for _ in channel:
        pass
