"""Contracts and twins: what everybody can know of reservations and of who is on the grid.

A contract is an escrow of the ledger: who reserved, on which node, until when, and the hash of
what. The documents themselves are between the two sides, so there is no deployment data, and the
names of workloads are not known. A twin is a key that is a node, a farm or an account.

To visit the whole ledger takes long, so these lists are made by the slice, and are seconds old.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

import numpy as np

from p2pgrid.api.fields import account_key, key_of
from p2pgrid.errors import NotFound
from p2pgrid.explorer.columns import Column
from p2pgrid.explorer.selection import Bools, Ints, Key
from p2pgrid.gridproxy.answers import Answer, Json
from p2pgrid.gridproxy.node_columns import NodeRows
from p2pgrid.gridproxy.nodes import NodeLists
from p2pgrid.gridproxy.numbers import equal, id_column, number_of, order_of, read_named
from p2pgrid.gridproxy.paging import PAGING_FIELDS, Sorts, read_paging
from p2pgrid.gridproxy.parameters import Value, require_known
from p2pgrid.ledger.state import Escrow
from p2pgrid.model.address import format_account
from p2pgrid.model.ids import ID_BYTES, AccountId, NodeId, RecordId
from p2pgrid.units import SECOND_MS, TimestampMs


class LedgerFacts(Protocol):
    """What contracts and twins need of the ledger."""

    def escrows(self) -> Collection[Escrow]:
        """Every escrow, open or closed; a collection of the caller's own."""
        ...

    def signed_at_ms(self, operation: RecordId) -> TimestampMs | None:
        """When a certified operation was signed, by its own word; None when it is not known."""
        ...

    def accounts(self) -> Collection[AccountId]:
        """Every account; a collection of the caller's own."""
        ...


class ContractTable:
    """Escrows, and columns of what is asked of them."""

    def __init__(self, escrows: Iterable[Escrow] = ()) -> None:
        self.escrows = list(escrows)
        self.ids = id_column([one.id for one in self.escrows])
        self.consumers = id_column([one.consumer for one in self.escrows])
        self.nodes = id_column([one.terms.node for one in self.escrows])
        self.hashes = id_column([one.terms.terms_hash for one in self.escrows])
        self._starts_ms = _times(one.terms.starts_at_ms for one in self.escrows)
        self._over_ms = _times(
            one.terms.ends_at_ms if one.cancelled_at_ms is None else 0 for one in self.escrows
        )
        self._is_closed = np.array([one.closing is not None for one in self.escrows], np.bool_)

    def __len__(self) -> int:
        return len(self.escrows)

    @property
    def starts_ms(self) -> Ints:
        """When each begins."""
        return self._starts_ms

    def states(self, now_ms: TimestampMs) -> Ints:
        """The place of each in STATES."""
        is_over = self._over_ms < now_ms
        return np.where(self._is_closed, _DELETED, np.where(is_over, _GRACE, _CREATED))

    @classmethod
    def joined(cls, parts: Sequence["ContractTable"]) -> "ContractTable":
        """All of at least one, one after the other."""
        whole = cls()
        whole.escrows = [escrow for part in parts for escrow in part.escrows]
        for name in ("ids", "consumers", "nodes", "hashes", "_starts_ms", "_over_ms", "_is_closed"):
            setattr(whole, name, np.concatenate([getattr(part, name) for part in parts]))
        return whole


STATES = ("Created", "GracePeriod", "Deleted")
"""Runs; over or cancelled, and not settled yet; settled."""
_CREATED, _GRACE, _DELETED = range(len(STATES))
_TYPES = ("node", "name", "rent")

CONTRACT_FILTERS = (
    "contract_id", "twin_id", "node_id", "type", "state", "name", "number_of_public_ips",
    "deployment_data", "deployment_hash", "farm_name", "farm_id",
)  # fmt: skip
CONTRACT_SORTS = Sorts(("contract_id", "twin_id", "state", "created_at", "type"))
TWIN_FILTERS = ("twin_id", "account_id", "relay", "public_key")
TWIN_SORTS = Sorts(("twin_id", "public_key"))
_REFUSED = {"balance": "prices here know no discount for what an account holds"}


@dataclass(frozen=True, slots=True)
class LedgerLists:
    """Contracts and twins as they were a moment ago, beside the nodes of now."""

    lists: NodeLists
    contracts: ContractTable
    twins: Column
    """Sorted, each once."""
    signed_at_ms: Callable[[RecordId], TimestampMs | None]
    """See `LedgerFacts`."""

    def contract_page(self, fields: Mapping[str, Value], random: Random) -> Answer:
        """Some of the contracts that match. Raises BadInput."""
        require_known(fields, (*PAGING_FIELDS, *CONTRACT_FILTERS), _REFUSED)
        paging, table = read_paging(fields, CONTRACT_SORTS), self.contracts
        states = table.states(self.lists.now_ms)
        found = np.ones(len(table), np.bool_)
        for name, value in fields.items():
            if name in CONTRACT_FILTERS:
                found &= self._matching(value, states)
        order: list[Key] = [column.__getitem__ for column in order_of(table.ids)]
        first: dict[str, Ints] = {
            "state": states, "created_at": table.starts_ms, "twin_id": order_of(table.consumers)[0],
            "type": np.zeros(len(table), np.int64),
        }  # fmt: skip
        if paging.sort_by in first:
            order.insert(0, first[paging.sort_by].__getitem__)
        rows = np.flatnonzero(found)
        page = paging.cut(rows, order, random)
        documents = [self._document(int(row), states) for row in page]
        return Answer(documents, headers=paging.headers(len(rows)))

    def one_contract(self, wanted: str) -> Answer:
        """One contract by its number or id. Raises BadInput, NotFound."""
        states = self.contracts.states(self.lists.now_ms)
        return Answer(self._document(self._row(wanted), states))

    def bills(self, wanted: str) -> Answer:
        """What a contract has cost: one bill, once it is settled. Raises BadInput, NotFound."""
        escrow = self.contracts.escrows[self._row(wanted)]
        if escrow.closing is None:
            return Answer([])
        settled_ms = self.signed_at_ms(escrow.closing.operation)
        bill = {
            "amountBilled": escrow.closing.to_farm,
            "discountReceived": "None",
            "timestamp": None if settled_ms is None else settled_ms // SECOND_MS,
            "contract_id": number_of(escrow.id),
        }
        return Answer([bill])

    def _row(self, wanted: str) -> int:
        named, ids = read_named(wanted, "the id of a contract"), self.contracts.ids
        row = named.one_of(ids, np.ones(len(ids), np.bool_), "contract")
        if row is None:
            raise NotFound("there is no such contract")
        return row

    def twin_page(self, fields: Mapping[str, Value], random: Random) -> Answer:
        """Some of the twins that match. Raises BadInput."""
        require_known(fields, (*PAGING_FIELDS, *TWIN_FILTERS), _REFUSED)
        paging = read_paging(fields, TWIN_SORTS)
        found = np.ones(len(self.twins), np.bool_)
        if "twin_id" in fields:
            found &= fields["twin_id"].named().among(self.twins)
        if "account_id" in fields:
            found &= equal(self.twins, account_key(fields["account_id"].text()))
        if "public_key" in fields:
            found &= equal(self.twins, key_of(fields["public_key"].text()))
        if "relay" in fields:  # nobody has one: peers are dialled
            found &= fields["relay"].text() == ""
        rows = np.flatnonzero(found)
        order = [column.__getitem__ for column in order_of(self.twins)]
        page = paging.cut(rows, order, random)
        return Answer(
            [_twin_document(_id(self.twins, int(row))) for row in page],
            headers=paging.headers(len(rows)),
        )

    def _matching(self, value: Value, states: Ints) -> Bools:
        table = self.contracts
        everyone = np.ones(len(table), np.bool_)
        match value.name:
            case "contract_id":
                return value.named().among(table.ids)
            case "twin_id":
                return value.named().among(table.consumers)
            case "node_id":
                return value.named().among(table.nodes)
            case "type":
                return everyone & (value.choice(_TYPES) == "node")
            case "state":
                return np.isin(states, [STATES.index(one) for one in value.choices(STATES)])
            case "number_of_public_ips":
                return everyone & (value.whole() == 0)
            case "deployment_hash":
                return equal(table.hashes, key_of(value.text()))
            case "farm_name":
                title = value.text().casefold()
                return self._on_farms(lambda nodes: nodes.farms_titled(title.__eq__))
            case "farm_id":
                farm = value.named()
                return self._on_farms(lambda nodes: nodes.farms_named(farm))
            case _:  # a name or deployment data: no contract here has one
                return everyone & (value.text() == "")

    def _on_farms(self, farms: Callable[[NodeRows], Bools]) -> Bools:
        nodes = self.lists.rows()
        theirs = nodes.rows.alive() & nodes.of_farms(farms(nodes))
        return np.isin(self.contracts.nodes, nodes.rows.nodes["node"][theirs])

    def _document(self, row: int, states: Ints) -> dict[str, Json]:
        escrow = self.contracts.escrows[row]
        node = self.lists.view.node(NodeId(escrow.terms.node), now_ms=self.lists.now_ms)
        farm, title = (0, "")
        if node is not None and node.is_confirmed:
            farm, title = number_of(node.farm), node.farm_name
        return {
            "contract_id": number_of(escrow.id),
            "twin_id": number_of(escrow.consumer),
            "state": STATES[int(states[row])],
            "created_at": escrow.terms.starts_at_ms // SECOND_MS,
            "type": "node",
            "details": {
                "nodeId": number_of(escrow.terms.node),
                "deployment_data": "",
                "deployment_hash": escrow.terms.terms_hash.hex(),
                "number_of_public_ips": 0,
                "farm_name": title,
                "farm_id": farm,
            },
        }


def all_twins(*columns: Column) -> Column:
    """Everybody in some columns of ids, once. Safe in a thread; 20 ms for 100,000."""
    merged = np.sort(np.concatenate(columns))  # `unique` would take eight times as long
    is_first = np.ones(len(merged), np.bool_)
    is_first[1:] = merged[1:] != merged[:-1]
    return merged[is_first & ~equal(merged, b"")]


def _times(times_ms: Iterable[int]) -> Ints:
    return np.array(list(times_ms), np.int64)


def _id(ids: Column, row: int) -> bytes:
    return bytes(ids[row]).ljust(ID_BYTES, b"\0")


def _twin_document(twin: bytes) -> dict[str, Json]:
    return {
        "twinId": number_of(twin),
        "accountId": format_account(twin),
        "relay": "",
        "publicKey": twin.hex(),
    }
