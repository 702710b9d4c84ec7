"""Nodes, farms and this node itself, over the control API."""

from collections.abc import Mapping
from typing import Any

from nacl.signing import SigningKey
from starlette.requests import Request
from starlette.responses import Response

from p2pgrid import keys
from p2pgrid.api.answers import json_answer, read_json
from p2pgrid.api.documents import to_json
from p2pgrid.api.services import Services
from p2pgrid.errors import BadInput, InvalidRecord
from p2pgrid.explorer.announce import Stamp
from p2pgrid.explorer.query import NodeFilter, NodeSort, Presence
from p2pgrid.limits import NODES_LISTED
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.farm import FarmMembers, FarmRecord
from p2pgrid.model.ids import AccountId, FarmId, NodeId
from p2pgrid.model.node import Feature

FARM_WALLET = "farm"
"""The wallet whose key is the farm that was created on this node."""


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

    async def nodes(self, request: Request) -> Response:
        """Nodes that match the query."""
        query = request.query_params
        wanted = _node_filter(query, query.getlist("feature"))
        sort = _choice(NodeSort, query.get("sort", "price"), "sort")
        limit = _number(query.get("limit"), "limit", default=NODES_LISTED)
        found = await self._services.explorer.nodes(wanted, sort=sort, limit=limit)
        return json_answer({"nodes": found.rows, "asked": found.asked, "agreed": found.agreed})

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
        """Create or change the farm whose key this node keeps."""
        body = await read_json(request)
        services = self._services
        if services.is_light:
            raise BadInput("a light peer offers nothing; create the farm on one of its nodes")
        key = _farm_key(services)
        farm = FarmId(bytes(key.verify_key))
        title, permille = str(body.get("name", "")), round(float(body["price_percent"]) * 10)
        payout = AccountId(_key_of(body.get("payout") or farm.hex()))
        members = {services.node, *(NodeId(_key_of(one)) for one in body.get("members", ()))}
        known = await services.explorer.farms(farm.hex())
        members |= {node for one in known for node in one.nodes}

        def farm_record(stamp: Stamp) -> FarmRecord:
            return FarmRecord(
                farm=farm,
                incarnation=stamp.incarnation,
                sequence=stamp.sequence,
                time_ms=stamp.time_ms,
                title=title,
                payout=payout,
                location=None,
                price_permille=permille,
                public_ranges=(),
            )

        def farm_members(stamp: Stamp) -> FarmMembers:
            return FarmMembers(
                farm=farm,
                incarnation=stamp.incarnation,
                sequence=stamp.sequence,
                time_ms=stamp.time_ms,
                nodes=tuple(sorted(members)),
            )

        try:
            record = await services.explorer.service.publish_next(key, farm_record)
            await services.explorer.service.publish_next(key, farm_members)
        except InvalidRecord as error:
            raise BadInput(str(error)) from error
        await services.claim_farm(record.record)
        return json_answer({**to_json(record.record), "nodes": sorted(members)})


def _farm_key(services: Services) -> SigningKey:
    if FARM_WALLET in keys.wallet_names(services.data):
        return keys.open_wallet(services.data, FARM_WALLET)
    return keys.create_wallet(services.data, FARM_WALLET)


def _node_filter(query: Mapping[str, str], features: list[str]) -> NodeFilter:
    free = Capacity(
        millicores=round(float(query.get("cores", 0)) * 1000),
        memory_bytes=_number(query.get("memory"), "memory", default=0),
        ssd_bytes=_number(query.get("ssd"), "ssd", default=0),
        hdd_bytes=_number(query.get("hdd"), "hdd", default=0),
    )
    statuses = tuple(Presence)
    if "status" in query:
        statuses = (_choice(Presence, query["status"], "status"),)
    try:
        return NodeFilter(
            free=free,
            farm=query.get("farm", ""),
            country=query.get("country", ""),
            features=tuple(_choice(Feature, one, "feature") for one in features),
            statuses=statuses,
        )
    except InvalidRecord as error:
        raise BadInput(str(error)) from error


def _choice(enum: Any, text: str, what: str) -> Any:
    try:
        return enum[text.upper().replace("-", "_")]
    except KeyError:
        names = ", ".join(one.name.lower() for one in enum)
        raise BadInput(f"{text!r} is no {what}; there are {names}") from None


def _number(text: str | None, what: str, *, default: int) -> int:
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 18:
        raise BadInput(f"{what} is a whole number, not {text[:40]!r}")
    return int(text)


def _key_of(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise BadInput(f"{text[:70]!r} is not an id of 64 hex digits")
    return key
