"""The explorer of a light peer: asks a few full peers, believes signatures, shows who agreed."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import Generic, TypeVar

from nacl.signing import SigningKey

from p2pgrid.crdt.register import Contradiction, RegisterKey
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
from p2pgrid.explorer.records import (
    ExplorerRecord,
    is_contradiction,
    verify_contradiction,
    verify_record,
)
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
from p2pgrid.net.asking import Panel, ask_one
from p2pgrid.net.network import Method, Network, blaming
from p2pgrid.store.store import Store
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import encode
from p2pgrid.wire.signed import Signed

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_R = TypeVar("_R", bound=ExplorerRecord)

_RECORDS_MAX = 6 * QUERY_ROWS_MAX
"""A node's row is two records of its own and two of its farm, and a proof about each of both."""

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
    total: int = 0
    """How many match in all."""
    is_total_exact: bool = True
    """Whether all of them were seen; otherwise the total is the word of the peers."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one peer sent, verified."""

    records: tuple[Signed[ExplorerRecord], ...]
    proofs: tuple[tuple[RegisterKey, Contradiction], ...]
    total: int
    """How many rows there are, as it says."""
    is_whole: bool
    """Whether all of them are here."""

    def put_into(self, view: View, now_ms: TimestampMs) -> None:
        """Let a view know what the peer knows."""
        for signed in self.records:
            view.accept(signed, now_ms)
        for key, proof in self.proofs:
            view.contradict(key, proof)


_RowsOf = Callable[[View, TimestampMs], tuple[tuple[_T, ...], int]]
"""The rows that a view shows, and how many it has in all."""


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
        near = self._network.round_trips_us()

        def rows_of(view: View, now_ms: TimestampMs) -> tuple[tuple[NodeView, ...], int]:
            page = view.page(wanted, cut, now_ms=now_ms, round_trips=near)
            return page.rows, page.total

        asked, rows_max = wanted, None if cut.limit is None else cut.skip + cut.limit
        if wanted.is_contradicted is False:
            # Who has the proof would leave the liar out and the proof with it, and others would
            # name him: so all of them are asked for, and what is left out is left out here.
            asked, rows_max = replace(wanted, is_contradicted=None), None
        sort = cut.sort
        if sort is NodeSort.LATENCY:  # others are near to somebody else
            sort, rows_max = NodeSort.ID, None
        return await self._find(AskNodes(asked, sort, cut.is_reversed), rows_of, rows_max=rows_max)

    async def node(self, node: NodeId) -> NodeView | None:
        """One node. Raises Unreachable when no peer answers."""
        found = await self.nodes(NodeFilter(node=node.hex()), limit=1)
        return found.rows[0] if found.rows else None

    async def farms(self, wanted: str = "") -> Found[FarmView]:
        """Farms by name or first hex digits of the id. Raises Unreachable when no peer answers."""
        return await self._find(
            AskFarms(wanted), _all_of(lambda view, now_ms: view.farms(wanted, now_ms=now_ms))
        )

    async def flist_names(self, title: str = "") -> Found[FlistName]:
        """Published names of flists by title. Raises Unreachable when no peer answers."""
        return await self._find(
            AskFlistNames(title),
            _all_of(lambda view, now_ms: view.flist_names(title, now_ms=now_ms)),
        )

    async def holders(self, flist: FlistId) -> Found[NodeId]:
        """Nodes that can serve `flist`. Raises Unreachable when no peer answers."""
        return await self._find(
            AskHolders(flist), _all_of(lambda view, now_ms: view.holders(flist, now_ms=now_ms))
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
        rows_of: _RowsOf[_T],
        *,
        rows_max: int | None = None,
    ) -> Found[_T]:
        async def ask(peer: NodeId) -> _Answer:
            return await self._ask(peer, question, rows_max)

        answers = await self._panel.ask(ask)
        now_ms = self._now_ms()
        union = View()
        for answer in answers:
            answer.put_into(union, now_ms)
        rows, seen = rows_of(union, now_ms)
        ages = [now_ms - one.record.time_ms for answer in answers for one in answer.records]
        is_whole = all(answer.is_whole for answer in answers)
        # The median: one liar of three does not decide.
        told = sorted(answer.total for answer in answers)[(len(answers) - 1) // 2]
        return Found(
            rows=rows,
            asked=len(answers),
            agreed=sum(rows_of(_view_of(one, now_ms), now_ms)[0] == rows for one in answers),
            youngest_age_ms=max(0, min(ages)) if ages else None,
            total=seen if is_whole else max(seen, told),
            is_total_exact=is_whole,
        )

    async def _ask(self, peer: NodeId, question: Question, rows_max: int | None) -> _Answer:
        """Every page of one peer's answer, verified."""
        records: list[Signed[ExplorerRecord]] = []
        proofs: list[tuple[RegisterKey, Contradiction]] = []
        skip, left = 0, 0
        for _ in range(QUERY_PAGES_MAX):
            page = await self._request(peer, Query(question, skip))
            with blaming(self._network, peer):
                if len(page.records) > _RECORDS_MAX or (page.rows_left and not page.rows):
                    raise BrokenProtocol("a page holds some rows, and no more than fit in it")
                for data in page.records:
                    signed = verify_record(data, self._network_id)
                    if signed is not None:
                        records.append(signed)
                    elif is_contradiction(data):
                        proofs.append(verify_contradiction(data, self._network_id))
            skip, left = skip + page.rows, page.rows_left
            if not left or (rows_max is not None and skip >= rows_max):
                break
        return _Answer(tuple(records), tuple(proofs), skip + left, not left)

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
        method = Method.EXPLORER_QUERY
        return await ask_one(
            self._network, peer, method, encode(query), Page, REQUEST_SECONDS_MAX, _PAGE_BYTES_MAX
        )


def _view_of(answer: _Answer, now_ms: TimestampMs) -> View:
    view = View()
    answer.put_into(view, now_ms)
    return view


def _all_of(rows_of: Callable[[View, TimestampMs], tuple[_T, ...]]) -> _RowsOf[_T]:
    """For questions without pages: as many rows as there are."""

    def counted(view: View, now_ms: TimestampMs) -> tuple[tuple[_T, ...], int]:
        rows = rows_of(view, now_ms)
        return rows, len(rows)

    return counted
