"""The explorer of a light peer: asks a few full peers, believes signatures, shows who agreed."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Generic, TypeVar

import trio
from nacl.signing import SigningKey

from p2pgrid.errors import BrokenProtocol, Refused, Unreachable
from p2pgrid.explorer.announce import Stamp
from p2pgrid.explorer.archive import Archive
from p2pgrid.explorer.query import ANY_NODE, FarmView, NodeFilter, NodeSort, NodeView
from p2pgrid.explorer.questions import (
    AskFarms,
    AskFlistNames,
    AskHolders,
    AskNodes,
    Page,
    Query,
    Question,
    Submit,
)
from p2pgrid.explorer.records import ExplorerRecord, verify_record
from p2pgrid.explorer.selection import WHOLE, Cut
from p2pgrid.explorer.view import View
from p2pgrid.limits.crdt import RECONCILE_ANSWER_BYTES_MAX
from p2pgrid.limits.explorer import (
    QUERY_PAGES_MAX,
    QUERY_PEERS,
    QUERY_PEERS_TRIED_MAX,
    QUERY_ROWS_MAX,
)
from p2pgrid.limits.net import REQUEST_SECONDS_MAX
from p2pgrid.model.flist import FlistName
from p2pgrid.model.ids import FlistId, NetworkId, NodeId
from p2pgrid.net.asking import Panel
from p2pgrid.net.network import Method, Network, blaming
from p2pgrid.store.store import Store
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import Signed

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_R = TypeVar("_R", bound=ExplorerRecord)

_RECORDS_MAX = 5 * QUERY_ROWS_MAX
_PAGE_BYTES_MAX = 2 * RECONCILE_ANSWER_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Found(Generic[_T]):
    """Rows that several peers together know of."""

    rows: tuple[_T, ...]
    asked: int
    """Peers that answered."""
    agreed: int
    """Those whose answer alone would have given the same rows."""
    youngest_age_ms: int | None
    """Age of the newest record among the answers; None without any."""
    total: int | None = None
    """How many match in all; None when not all were asked for."""


class RemoteExplorer:
    """Answers the queries of `ExplorerService` by asking peers."""

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
        self._panel = Panel(network, random, QUERY_PEERS, QUERY_PEERS_TRIED_MAX)
        self._archive = Archive(store, network_id, now_ms)
        """Records of our own, whose sequence must go on after a restart."""

    async def nodes(
        self,
        wanted: NodeFilter = ANY_NODE,
        *,
        sort: NodeSort = NodeSort.PRICE,
        limit: int | None = None,
    ) -> Found[NodeView]:
        """The nodes that match, in order. Raises Unreachable when no peer answers."""
        return await self.page(wanted, Cut(sort, limit=limit))

    async def page(self, wanted: NodeFilter = ANY_NODE, cut: Cut = WHOLE) -> Found[NodeView]:
        """Some of the nodes that match, in order. Raises Unreachable when no peer answers."""
        return await self._find(
            AskNodes(wanted, cut.sort, cut.is_reversed),
            lambda view, now_ms: view.page(wanted, cut, now_ms=now_ms).rows,
            rows_max=None if cut.limit is None else cut.skip + cut.limit,
        )

    async def node(self, node: NodeId) -> NodeView | None:
        """One node. Raises Unreachable when no peer answers."""
        found = await self.nodes(NodeFilter(node=node.hex()), limit=1)
        return found.rows[0] if found.rows else None

    async def farms(self, wanted: str = "") -> Found[FarmView]:
        """Farms by name or first hex digits of the id. Raises Unreachable when no peer answers."""
        return await self._find(
            AskFarms(wanted), lambda view, now_ms: view.farms(wanted, now_ms=now_ms)
        )

    async def flist_names(self, title: str = "") -> Found[FlistName]:
        """Published names of flists by title. Raises Unreachable when no peer answers."""
        return await self._find(
            AskFlistNames(title), lambda view, now_ms: view.flist_names(title, now_ms=now_ms)
        )

    async def holders(self, flist: FlistId) -> Found[NodeId]:
        """Nodes that can serve `flist`. Raises Unreachable when no peer answers."""
        return await self._find(
            AskHolders(flist), lambda view, now_ms: view.holders(flist, now_ms=now_ms)
        )

    async def publish_next(self, key: SigningKey, build: Callable[[Stamp], _R]) -> Signed[_R]:
        """Sign the next record of our own, make it durable, and hand it to full peers.

        Raises:
            Refused: it is too large, or every peer that answered refused it.
            Unreachable: no peer took it; it is stored, and the next one goes on from it.
        """
        signed = await self._archive.sign_next(key, build)
        await self._submit(signed.envelope)
        return signed

    async def publish(self, signed: Signed[_R]) -> None:
        """Make a record of our own durable, and hand it to full peers; raises as `publish_next`."""
        await self._archive.keep(signed)
        await self._submit(signed.envelope)

    # --- asking -----------------------------------------------------------------------------------

    async def _find(
        self,
        question: Question,
        rows_of: Callable[[View, TimestampMs], tuple[_T, ...]],
        *,
        rows_max: int | None = None,
    ) -> Found[_T]:
        async def ask(peer: NodeId) -> tuple[Signed[ExplorerRecord], ...]:
            return await self._ask(peer, question, rows_max)

        answers = await self._panel.ask(ask)
        now_ms = self._now_ms()
        union = View()
        for answer in answers:
            for signed in answer:
                union.accept(signed, now_ms)
        rows = rows_of(union, now_ms)
        ages = [now_ms - one.record.time_ms for answer in answers for one in answer]
        return Found(
            rows=rows,
            asked=len(answers),
            agreed=sum(rows_of(_view_of(answer, now_ms), now_ms) == rows for answer in answers),
            youngest_age_ms=max(0, min(ages)) if ages else None,
        )

    async def _ask(
        self, peer: NodeId, question: Question, rows_max: int | None
    ) -> tuple[Signed[ExplorerRecord], ...]:
        """Every page of one peer's answer, verified."""
        records: list[Signed[ExplorerRecord]] = []
        skip = 0
        for _ in range(QUERY_PAGES_MAX):
            page = await self._request(peer, Query(question, skip))
            with blaming(self._network, peer):
                if len(page.records) > _RECORDS_MAX or (page.rows_left and not page.rows):
                    raise BrokenProtocol("a page holds some rows, and no more than fit in it")
                verified = [verify_record(one, self._network_id) for one in page.records]
            records += [signed for signed in verified if signed is not None]
            skip += page.rows
            if not page.rows_left or (rows_max is not None and skip >= rows_max):
                break
        return tuple(records)

    async def _submit(self, envelope: bytes) -> None:
        """Hand a record to full peers. One that takes it is enough: it gossips it."""
        refusals: list[Refused] = []

        async def submit(peer: NodeId) -> None:
            try:
                await self._request(peer, Query(Submit(envelope)))
            except Refused as refusal:
                refusals.append(refusal)
                raise

        try:
            await self._panel.ask(submit)
        except Unreachable:
            if refusals:
                raise refusals[0] from None
            raise

    async def _request(self, peer: NodeId, query: Query) -> Page:
        with trio.move_on_after(REQUEST_SECONDS_MAX):
            answer = await self._network.request(peer, Method.EXPLORER_QUERY, encode(query))
            with blaming(self._network, peer):
                return decode(Page, answer, bytes_max=_PAGE_BYTES_MAX)
        raise Unreachable(f"no answer within {REQUEST_SECONDS_MAX:g} s")


def _view_of(records: tuple[Signed[ExplorerRecord], ...], now_ms: TimestampMs) -> View:
    view = View()
    for signed in records:
        view.accept(signed, now_ms)
    return view
