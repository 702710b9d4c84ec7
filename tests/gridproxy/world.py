"""A small grid with nodes and farms of many kinds, and a way to ask for it as a client would."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random
from typing import Any
from urllib.parse import urlencode

from nacl.signing import SigningKey

from p2pgrid.explorer.records import ExplorerRecord
from p2pgrid.explorer.view import View
from p2pgrid.gridproxy.answers import Answer
from p2pgrid.gridproxy.ledger_lists import ContractTable, LedgerLists, all_twins
from p2pgrid.gridproxy.nodes import NodeLists
from p2pgrid.gridproxy.numbers import id_column
from p2pgrid.gridproxy.routes import Grid, answer
from p2pgrid.ledger.state import Closing, Escrow
from p2pgrid.limits.explorer import NODE_FRESH_MS
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.farm import FarmMembers, FarmRecord
from p2pgrid.model.genesis import PricingPolicy
from p2pgrid.model.ids import AccountId, FarmId, NodeId, RecordId
from p2pgrid.model.node import Feature, Hardware, Location, NodeStatus
from p2pgrid.model.operation import OpenEscrow
from p2pgrid.units import GIB, HOUR_MS, Amount, TimestampMs
from p2pgrid.wire.signed import Signed, sign
from tests.explorer.grid import GRID, NOW, TOTAL, announced, node_of, updated

PRICING = PricingPolicy()
GHENT = Location(
    country="Belgium", city="Ghent",
    latitude_microdegrees=141_050_000, longitude_microdegrees=183_700_000,
)  # fmt: skip
CAIRO = Location(
    country="Egypt", city="Cairo",
    latitude_microdegrees=120_000_000, longitude_microdegrees=211_000_000,
)  # fmt: skip
CARDS = Hardware(
    board="Z1", cpu_model="Chip", gpus=("AMD 1002:731f at 0000:28:00.0", "Odd card"),
    secure_boot=True, virtualized=None,
)  # fmt: skip
VOLUMES = (Feature.CONTAINER, Feature.VOLUME)


def farm_key(title: str) -> SigningKey:
    return SigningKey(title.encode().ljust(32, b"."))


def farm_of(title: str) -> FarmId:
    return FarmId(bytes(farm_key(title).verify_key))


def farm(title: str, *nodes: int, ranges: tuple[str, ...] = ()) -> list[Signed[ExplorerRecord]]:
    """What a farm says of itself, and of its nodes."""
    key, identity = farm_key(title), farm_of(title)
    said = FarmRecord(
        farm=identity, incarnation=1, sequence=0, time_ms=NOW, title=title,
        payout=AccountId(node_of(100)), location=None, price_permille=1000, public_ranges=ranges,
    )  # fmt: skip
    members = FarmMembers(
        farm=identity, incarnation=1, sequence=0, time_ms=NOW,
        nodes=tuple(node_of(number) for number in nodes),
    )  # fmt: skip
    return [sign(said, key, GRID), sign(members, key, GRID)]


SETTLED = RecordId(bytes(32))
"""The operation that settled what is settled."""

RANGES = ("192.0.2.0/28", "2001:db8::/48")
NODES = range(1, 9)
STRANGER = 7
"""Claims a farm that does not list it."""
GATEWAY = 3


def records() -> list[Signed[ExplorerRecord]]:
    green, dry = farm_of("Green Valley"), farm_of("Dry Lake")
    cards = replace(TOTAL, gpus=2, hdd_bytes=GIB)
    return [
        *farm("Green Valley", 1, 2, 3, ranges=RANGES),
        *farm("Dry Lake", 4),
        *farm("Empty"),
        announced(1, farm=green, location=GHENT, addresses=("/ip6/2001:4860::1/tcp/1",)),
        announced(2, farm=green, location=CAIRO, hardware=CARDS, total=cards, features=VOLUMES),
        announced(3, farm=green, price_permille=500, features=(Feature.GATEWAY,), boot_ms=NOW - 1),
        announced(4, farm=dry, location=CAIRO, addresses=("/ip4/8.8.8.8/tcp/1",)),
        announced(5, farm=node_of(5), features=(), status=NodeStatus.STANDBY),
        announced(6, farm=node_of(6), time_ms=NOW - NODE_FRESH_MS - 1, boot_ms=NOW - HOUR_MS),
        announced(
            STRANGER, farm=green, location=replace(GHENT, country="Atlantis", city=""),
            total=Capacity(millicores=999), system=Capacity(),
        ),
        announced(8, farm=green, status=NodeStatus.GONE),
        updated(2, replace(cards, gpus=1, millicores=1500), reservations=3),
        updated(4, Capacity(), reservations=1),
    ]  # fmt: skip


def escrow(
    number: int,
    *,
    node: int = 1,
    cancelled_at_ms: int | None = None,
    ends_at_ms: int = NOW + HOUR_MS,
    is_closed: bool = False,
) -> Escrow:
    """One reservation, as the ledger knows it."""
    identity = RecordId(number.to_bytes(1, "big") * 32)
    terms = OpenEscrow(
        farm=AccountId(node_of(100)), node=NodeId(node_of(node)), deposit=Amount(10),
        price_per_hour=Amount(5), starts_at_ms=TimestampMs(NOW - HOUR_MS - number * 1000),
        ends_at_ms=TimestampMs(ends_at_ms), grace_seconds=0, terms_hash=bytes([number]) * 32,
    )  # fmt: skip
    closing = Closing(SETTLED, Amount(4), Amount(6)) if is_closed else None
    cancelled = None if cancelled_at_ms is None else TimestampMs(cancelled_at_ms)
    return Escrow(identity, AccountId(node_of(50 + number % 2)), terms, cancelled, closing)


ESCROWS = (
    escrow(1),
    escrow(2, node=4),
    escrow(3, cancelled_at_ms=NOW - 5),
    escrow(4, ends_at_ms=NOW - 1),
    escrow(5, node=STRANGER, is_closed=True),
)


def signed_at_ms(operation: RecordId) -> TimestampMs | None:
    return NOW if operation == SETTLED else None


@dataclass
class World:
    """What a node knows, and the client of its REST interface."""

    view: View
    escrows: tuple[Escrow, ...] = ESCROWS
    now_ms: TimestampMs = NOW

    def ask(self, path: str, **query: object) -> Answer:
        """The answer to a GET."""
        return answer(self.grid(), path, urlencode(query, doseq=True), Random(1))

    def rows(self, path: str, **query: object) -> list[dict[str, Any]]:
        """The document of an answer, which has to be fine."""
        told = self.ask(path, **query)
        assert told.status == 200, told.document
        document: list[dict[str, Any]] = told.document
        return document

    def refusal(self, path: str, **query: object) -> str:
        """The reason of a refusal."""
        told = self.ask(path, **query)
        assert told.status == 400, (query, told.document)
        reason: str = told.document["error"]
        return reason

    def grid(self) -> Grid:
        nodes = NodeLists(self.view, PRICING, self.now_ms)
        rows = self.view.rows(self.now_ms)
        twins = all_twins(
            rows.nodes["node"][rows.alive()], rows.columns.farms["farm"].copy(),
            id_column([node_of(50), node_of(51), node_of(1)]),
        )  # fmt: skip
        ledger = LedgerLists(nodes, ContractTable(self.escrows), twins, signed_at_ms)
        return Grid(nodes, ledger, peers=2, version="1.2.3")


def view_of(said: Iterable[Signed[ExplorerRecord]]) -> View:
    view = View()
    for one in said:
        assert view.accept(one, NOW).refusal is None
    return view


def world() -> World:
    return World(view_of(records()))
