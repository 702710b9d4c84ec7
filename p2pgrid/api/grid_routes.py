"""Nodes, farms and this node itself, over the control API."""

import trio
from nacl.signing import SigningKey
from starlette.requests import Request
from starlette.responses import Response

from p2pgrid import keys
from p2pgrid.api.answers import json_answer
from p2pgrid.api.documents import to_json
from p2pgrid.api.fields import Fields, account_key, choose, key_of, read_body, read_query
from p2pgrid.api.services import Services
from p2pgrid.errors import BadInput
from p2pgrid.explorer.announce import Stamp
from p2pgrid.explorer.query import FarmView, NodeFilter, NodeSort, Presence
from p2pgrid.explorer.selection import Cut
from p2pgrid.limits.control import LISTED_MAX
from p2pgrid.limits.farming import NODES_LISTED
from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.farm import FarmMembers, FarmRecord
from p2pgrid.model.ids import AccountId, FarmId, NodeId
from p2pgrid.model.node import PRICE_PERMILLE_MAX, Feature
from p2pgrid.net.links import NEVER
from p2pgrid.units import TimestampMs
from p2pgrid.wire.signed import is_usable_key

FARM_WALLET = "farm"
"""The wallet whose key is the farm that was created on this node."""

_PERMILLE = 1000
_CORES_MAX = 10**9
_QUERY = (
    "cores", "memory", "ssd", "hdd", "gpus", "node", "country", "city", "farm", "gpu", "price_min",
    "price_max", "status", "confirmed", "secure_boot", "bare_metal", "ipv6", "public_address",
    "contradicted", "sort", "reverse", "page", "limit",
)  # fmt: skip

_ROLES = ("anchor", "chosen", "")


def _ms_since(then: float, now: float) -> int:
    return round((now - then) * 1000)


class GridRoutes:
    """Who is there."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def status(self, _: Request) -> Response:
        """How this node is doing."""
        services = self._services
        missing = services.containers_missing()
        known = await services.explorer.nodes(NodeFilter()) if not services.is_light else None
        return json_answer(
            {
                "node": services.node,
                "role": "light peer" if services.is_light else "node",
                "grid": services.genesis.name,
                "network": services.genesis.network,
                "farm": services.farm_text(),
                "uptime_ms": services.now_ms() - services.started_ms,
                "peers": services.network.peers(),
                "addresses": services.network.addresses(),
                "containers": "offered" if missing is None else missing,
                "known_nodes": None if known is None else len(known.rows),
            }
        )

    async def peers(self, _: Request) -> Response:
        """Who this node is connected to, those of its own choice first, the oldest first."""
        now = trio.current_time()
        links = sorted(self._services.network.links(), key=lambda link: link.since)
        rows: list[dict[str, object]] = [
            {
                "peer": link.peer,
                "direction": "outbound" if link.is_outbound else "inbound",
                "role": self._services.peer_role(link.peer),
                "prefix": link.prefix,
                "host": link.host,
                "age_ms": _ms_since(link.since, now),
                "useful_ms": None if link.useful_at == NEVER else _ms_since(link.useful_at, now),
                "faults": round(link.faults, 1),
            }
            for link in links
        ]
        rows.sort(key=lambda row: _ROLES.index(str(row["role"])))
        return json_answer(rows)

    async def nodes(self, request: Request) -> Response:
        """Nodes that match the query."""
        query = read_query(request, *_QUERY, lists=("feature",))
        wanted = _node_filter(query)
        sort = query.choice("sort", NodeSort, NodeSort.PRICE)
        limit = query.whole("limit", NODES_LISTED, most=LISTED_MAX)
        page = query.whole("page", 1, most=LISTED_MAX)
        cut = Cut(sort, query.flag("reverse"), skip=max(0, page - 1) * limit, limit=limit)
        found = await self._services.explorer.page(wanted, cut)
        return json_answer(
            {
                "nodes": found.rows,
                "asked": found.asked,
                "agreed": found.agreed,
                "youngest_age_ms": found.youngest_age_ms,
                "total": found.total,
                "is_total_exact": found.is_total_exact,
            }
        )

    async def node(self, request: Request) -> Response:
        """One node by the first digits of its id."""
        return json_answer(await self._services.explorer.one_node(request.path_params["node"]))

    async def farms(self, _: Request) -> Response:
        """All farms."""
        return json_answer(await self._services.explorer.farms())

    async def farm(self, request: Request) -> Response:
        """One farm by name or first digits."""
        return json_answer(await self._services.explorer.one_farm(request.path_params["farm"]))

    async def create_farm(self, request: Request) -> Response:
        """Create or change the farm whose key this node keeps; what is not said stays as it is."""
        body = await read_body(request, "name", "payout", "price_percent", "members", "passphrase")
        services = self._services
        if services.is_light:
            raise BadInput("a light peer offers nothing; create the farm on one of its nodes")
        members = {services.node, *(NodeId(key_of(one)) for one in body.texts("members"))}
        wanted = _FarmWanted(body)
        key = await _farm_key(services, body.optional("passphrase"))
        farm = FarmId(bytes(key.verify_key))
        known = next(iter(await services.explorer.farms(farm.hex())), None)
        members |= set(known.nodes if known else ())

        def farm_record(stamp: Stamp) -> FarmRecord:
            return wanted.record(farm, known, stamp)

        def farm_members(stamp: Stamp) -> FarmMembers:
            return FarmMembers(
                farm=farm,
                incarnation=stamp.incarnation,
                sequence=stamp.sequence,
                time_ms=stamp.time_ms,
                nodes=tuple(sorted(members)),
            )

        farm_members(Stamp(0, 0, services.now_ms()))  # too many are refused before all is said
        record = await services.explorer.service.publish_next(key, farm_record)
        await services.explorer.service.publish_next(key, farm_members)
        await services.claim_farm(record.record)
        return json_answer({**to_json(record.record), "nodes": sorted(members)})


class _FarmWanted:
    """What a farmer says of the farm."""

    def __init__(self, body: Fields) -> None:
        self._title = body.text("name")
        self._payout = AccountId(account_key(body.text("payout"))) if body.has("payout") else None
        if self._payout is not None and not is_usable_key(self._payout):
            raise BadInput(f"nobody can have the account {self._payout.hex()}; is it complete?")
        self._permille: int | None = None
        if body.has("price_percent"):
            percent = body.number("price_percent", most=PRICE_PERMILLE_MAX / 10)
            self._permille = round(percent * 10)
        self.record(FarmId(bytes(32)), None, Stamp(0, 0, TimestampMs(0)))  # or raises

    def record(self, farm: FarmId, known: FarmView | None, stamp: Stamp) -> FarmRecord:
        """The farm's next record. Raises InvalidRecord."""
        payout, permille = self._payout, self._permille
        if payout is None:
            payout = known.payout if known else AccountId(farm)
        if permille is None:
            permille = known.price_permille if known else _PERMILLE
        return FarmRecord(
            farm=farm,
            incarnation=stamp.incarnation,
            sequence=stamp.sequence,
            time_ms=stamp.time_ms,
            title=self._title,
            payout=payout,
            location=known.location if known else None,
            price_permille=permille,
            public_ranges=known.public_ranges if known else (),
        )


async def _farm_key(services: Services, passphrase: str | None) -> SigningKey:
    data = services.data
    if FARM_WALLET not in keys.wallet_names(data):
        return keys.create_wallet(data, FARM_WALLET)
    return await trio.to_thread.run_sync(keys.open_wallet, data, FARM_WALLET, passphrase)


def _node_filter(query: Fields) -> NodeFilter:
    free = Capacity(
        millicores=round(query.number("cores", 0, most=_CORES_MAX) * 1000),
        memory_bytes=query.whole("memory", 0, most=INTEGER_MAX),
        ssd_bytes=query.whole("ssd", 0, most=INTEGER_MAX),
        hdd_bytes=query.whole("hdd", 0, most=INTEGER_MAX),
        gpus=query.whole("gpus", 0, most=INTEGER_MAX),
    )
    statuses = tuple(Presence)
    if query.has("status"):
        statuses = (choose(Presence, query.text("status"), "status"),)
    return NodeFilter(
        free=free,
        node=query.text("node", ""),
        farm=query.text("farm", ""),
        country=query.text("country", ""),
        city=query.text("city", ""),
        gpu=query.text("gpu", ""),
        price_permille_min=_permille(query, "price_min", 0),
        price_permille_max=_permille(query, "price_max", PRICE_PERMILLE_MAX),
        features=tuple(choose(Feature, one, "feature") for one in query.texts("feature")),
        statuses=statuses,
        is_confirmed=_claim(query, "confirmed"),
        secure_boot=_claim(query, "secure_boot"),
        bare_metal=_claim(query, "bare_metal"),
        has_ipv6=_claim(query, "ipv6"),
        has_public_address=_claim(query, "public_address"),
        is_contradicted=_claim(query, "contradicted"),
    )


def _permille(query: Fields, name: str, default: int) -> int:
    """A price in percent of the grid's."""
    return round(query.number(name, default / 10, most=PRICE_PERMILLE_MAX / 10) * 10)


def _claim(query: Fields, name: str) -> bool | None:
    return query.flag(name) if query.has(name) else None
