"""Reservations of our own and those that run here, over the control API."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from p2pgrid.api.answers import OnProgress, ProgressAnswer, json_answer
from p2pgrid.api.documents import format_time
from p2pgrid.api.fields import Fields, Json, read_body, read_query, shown
from p2pgrid.api.publisher_routes import introduction
from p2pgrid.api.services import Services
from p2pgrid.errors import BadInput, NotFound
from p2pgrid.explorer.query import NodeFilter, NodeView, Presence
from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.flist import FlistReference
from p2pgrid.model.ids import AccountId, FlistId
from p2pgrid.model.workload import Workload
from p2pgrid.publishers import know_publishers, known_publishers
from p2pgrid.reservation.document import ReservationDocument, parse_document, read_document
from p2pgrid.reservation.lifecycle import Reservation
from p2pgrid.reservation.matching import Candidate, Matching, Wanted, features_of, match_nodes
from p2pgrid.reservation.pricing import deposit_for
from p2pgrid.reservation.rental import Order, Rental
from p2pgrid.units import SECOND_MS, Amount

_BODY = ("document", "toml", "price_max", "node", "except_farms")


class ReservationRoutes:
    """What runs for whom."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def candidates(self, request: Request) -> Response:
        """Which nodes fit, for what price, and why the others do not; nothing is reserved."""
        body = await read_body(request, *_BODY)
        order, publishers = await self._order(body)
        nodes, matching = await self._match(order, body)
        names = {one.node: one.farm_name for one in nodes}
        fitting = [
            {
                "node": fit.candidate.node,
                "farm": fit.candidate.farm,
                "farm_name": names[fit.candidate.node],
                "price_per_hour": fit.price_per_hour,
                "deposit": deposit_for(fit.price_per_hour, order.duration_seconds),
            }
            for fit in matching.fits
        ]
        others = [{"node": one.candidate.node, "reason": one.reason} for one in matching.misfits]
        unknown = await self._introduced(publishers)
        return json_answer({"fitting": fitting, "others": others, "unknown_publishers": unknown})

    async def reserve(self, request: Request) -> Response:
        """Reserve, pay, and wait until it runs."""
        body = await read_body(request, *_BODY)

        async def work(on_progress: OnProgress) -> Json:
            order, publishers = await self._order(body)
            _, matching = await self._match(order, body)
            candidates = [fit.candidate for fit in matching.require_fits()]
            unknown = await self._introduced(publishers)
            rental = await self._services.consumer.reserve(candidates, order, on_progress)
            know_publishers(self._services.data, publishers)
            return {**rental_document(rental), "unknown_publishers": unknown}

        return ProgressAnswer(work)

    async def list_all(self, request: Request) -> Response:
        """Our own, or those that this node hosts."""
        if not read_query(request, "hosted").flag("hosted"):
            return json_answer([rental_document(one) for one in self._services.consumer.rentals()])
        if self._services.host is None:
            raise BadInput("a light peer hosts nothing")
        return json_answer([hosted_document(one) for one in self._services.host.reservations()])

    async def show(self, request: Request) -> Response:
        """One of our own, as it stands now."""
        rental = self._named(request)
        return json_answer(rental_document(await self._services.consumer.status(rental.id)))

    async def cancel(self, request: Request) -> Response:
        """End one of our own; answers when it is settled."""
        rental = self._named(request)
        return json_answer(rental_document(await self._services.consumer.cancel(rental.id)))

    async def reclaim(self, request: Request) -> Response:
        """Take the deposit back from a node that never settled."""
        rental = self._named(request)
        return json_answer(rental_document(await self._services.consumer.reclaim(rental.id)))

    async def logs(self, request: Request) -> Response:
        """What a workload wrote from an offset on; the next offset is a header."""
        rental = self._named(request)
        query = read_query(request, "name", "offset")
        name = _workload_name(rental, query.text("name", ""))
        offset = query.whole("offset", 0, most=INTEGER_MAX)
        answer = await self._services.consumer.logs(rental.id, name, offset)
        headers = {"x-next-offset": str(answer.next_offset)}
        return Response(answer.data, media_type="application/octet-stream", headers=headers)

    # --- inside -----------------------------------------------------------------------------------

    async def _order(self, body: Fields) -> tuple[Order, tuple[AccountId, ...]]:
        """What is wanted, and who published the images that are named; an id names nobody."""
        document = _document_of(body)
        flists: dict[FlistReference, FlistId] = {}
        publishers: dict[AccountId, None] = {}
        for one in document.containers:
            if one.image.flist is not None:
                flists[one.image] = one.image.flist
                continue
            name = await self._services.explorer.flist_name(one.image)
            assert name.flist is not None, "withdrawn names are left out"
            flists[one.image] = name.flist
            publishers[name.publisher] = None

        def resolve(reference: FlistReference) -> Any:
            return flists[reference]

        order = Order(
            workloads=document.workloads(resolve),
            duration_seconds=document.duration_seconds,
            grace_seconds=document.grace_seconds,
            price_per_hour_max=(
                Amount(body.whole("price_max", most=INTEGER_MAX))
                if body.has("price_max")
                else document.price_per_hour_max
            ),
        )
        return order, tuple(publishers)

    async def _introduced(self, publishers: Sequence[AccountId]) -> list[dict[str, Any]]:
        """What people should hear of publishers of whom they have never run anything."""
        known = {AccountId(self._services.node), *known_publishers(self._services.data)}
        strangers = [one for one in publishers if one not in known]
        if not strangers:
            return []
        names = await self._services.explorer.flist_names()
        return [introduction(one, names, self._services.now_ms()) for one in strangers]

    async def _match(self, order: Order, body: Fields) -> tuple[tuple[NodeView, ...], Matching]:
        explorer = self._services.explorer
        node = body.text("node", "")
        found = await explorer.nodes(NodeFilter(node=node, statuses=(Presence.UP,)))
        if not found.rows and node:
            raise NotFound(f"there is no node {shown(node)} that is up")
        avoided = {(await explorer.one_farm(one)).farm for one in body.texts("except_farms")}
        nodes = tuple(one for one in found.rows if one.farm not in avoided)
        asked = Wanted(
            needs=_needs(order.workloads),
            features=features_of(order.workloads),
            price_per_hour_max=order.price_per_hour_max,
        )
        candidates = [_candidate(one, is_named=bool(node)) for one in nodes]
        return nodes, match_nodes(candidates, asked, self._services.genesis.pricing)

    def _named(self, request: Request) -> Rental:
        """The one of ours whose id starts with these digits."""
        prefix = request.path_params["reservation"].casefold()
        if not prefix:
            raise BadInput("which reservation? give the first digits of its id")
        fitting = [
            one for one in self._services.consumer.rentals() if one.id.hex().startswith(prefix)
        ]
        if not fitting:
            raise NotFound(f"there is no reservation {shown(prefix)} of yours")
        if len(fitting) > 1:
            raise BadInput(
                f"{shown(prefix)} could be {len(fitting)} reservations; give more digits"
            )
        return fitting[0]


def rental_document(rental: Rental) -> dict[str, Any]:
    """A reservation of ours as JSON."""
    terms = rental.terms
    return {
        "reservation": rental.id,
        "phase": rental.phase,
        "detail": rental.detail,
        "node": rental.request.node,
        "workloads": [one.name for one in rental.request.workloads],
        "addresses": rental.addresses,
        "exit_code": rental.exit_code,
        "escrow": rental.escrow,
        "price_per_hour": terms.price_per_hour if terms else 0,
        "deposit": terms.deposit if terms else 0,
        "ends": format_time(
            rental.request.starts_at_ms + rental.request.duration_seconds * SECOND_MS
        ),
        "paid": rental.paid,
        "refunded": rental.refunded,
    }


def hosted_document(one: Reservation) -> dict[str, Any]:
    """A reservation that runs here as JSON."""
    return {
        "reservation": one.id,
        "phase": one.phase,
        "consumer": one.request.consumer,
        "node": one.request.node,
        "workloads": [workload.name for workload in one.request.workloads],
        "addresses": one.addresses,
        "price_per_hour": one.terms.price_per_hour,
        "deposit": one.terms.deposit,
        "ends": format_time(one.terms.ends_at_ms),
    }


def _document_of(body: Fields) -> ReservationDocument:
    if body.has("toml") == body.has("document"):
        raise BadInput("a reservation needs a document, as `toml` or as `document`")
    if body.has("toml"):
        return parse_document(body.text("toml"))
    return read_document(body.table("document"))


def _needs(workloads: Sequence[Workload]) -> Any:
    first, *rest = (one.needs for one in workloads)
    for one in rest:
        first += one
    return first


def _candidate(node: NodeView, *, is_named: bool) -> Candidate:
    """A node to choose from; one that a person named is trusted as far as he does."""
    return Candidate(
        node=node.node,
        farm=node.farm,
        free=node.free,
        features=node.features,
        price_permille=node.price_permille,
        age_ms=node.age_ms,
        addresses=node.addresses,
        is_distrusted=not is_named and (node.is_contradicted or node.is_farm_contradicted),
    )


def _workload_name(rental: Rental, wanted: str) -> str:
    """The workload that a person means; with a single one there is nothing to say."""
    names = [one.name for one in rental.request.workloads]
    if wanted and wanted not in names:
        raise NotFound(f"there is no workload {shown(wanted)}; there are {', '.join(names)}")
    if not wanted and len(names) > 1:
        raise BadInput(f"which workload? --name one of {', '.join(names)}")
    return wanted or names[0]
