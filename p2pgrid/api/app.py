"""The control API: HTTP with JSON on a Unix socket that only the node's owner can open."""

import logging
import os
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

from hypercorn.config import Config
from hypercorn.trio import serve
from hypercorn.typing import ASGIFramework
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from trio import TASK_STATUS_IGNORED

from p2pgrid.api.answers import error_answer, error_document
from p2pgrid.api.flist_routes import FlistRoutes
from p2pgrid.api.grid_routes import GridRoutes
from p2pgrid.api.money_routes import MoneyRoutes
from p2pgrid.api.reservation_routes import ReservationRoutes
from p2pgrid.api.services import Services
from p2pgrid.errors import BadInput, GridError
from p2pgrid.limits import SOCKET_PATH_BYTES_MAX

log = logging.getLogger(__name__)

SOCKET_NAME = "control.sock"

_Handler = Callable[[Request], Awaitable[Response]]


class Starting(Protocol):
    """Who waits for the socket to be there: a `Nursery.start`."""

    def started(self, value: list[str], /) -> None:
        """Hear under which addresses it is."""
        ...


def make_app(services: Services) -> Starlette:
    """Every route of the control API."""
    grid, money = GridRoutes(services), MoneyRoutes(services)
    flists, reservations = FlistRoutes(services), ReservationRoutes(services)
    gets: dict[str, _Handler] = {
        "/status": grid.status,
        "/nodes": grid.nodes,
        "/nodes/{node}": grid.node,
        "/farms": grid.farms,
        "/farms/{farm}": grid.farm,
        "/wallets": money.wallets,
        "/accounts/{account}": money.account,
        "/accounts/{account}/history": money.history,
        "/ledger": money.ledger,
        "/ledger/evidence": money.evidence,
        "/flists": flists.names,
        "/reservations": reservations.list_all,
        "/reservations/{reservation}": reservations.show,
        "/reservations/{reservation}/logs": reservations.logs,
    }
    posts: dict[str, _Handler] = {
        "/farms": grid.create_farm,
        "/payments": money.pay,
        "/flists": flists.convert,
        "/flists/names": flists.publish,
        "/reservations": reservations.reserve,
        "/reservations/candidates": reservations.candidates,
        "/reservations/{reservation}/cancel": reservations.cancel,
        "/reservations/{reservation}/reclaim": reservations.reclaim,
    }
    routes = [Route(path, handler, methods=["GET"]) for path, handler in gets.items()]
    routes += [Route(path, handler, methods=["POST"]) for path, handler in posts.items()]
    handlers = {GridError: error_answer, KeyError: _missing_field, ValueError: _bad_value}
    return Starlette(routes=routes, exception_handlers={**handlers, Exception: _unexpected})


async def serve_control(services: Services, *, task_status: Starting = TASK_STATUS_IGNORED) -> None:
    """Serve until cancelled. The socket is there, for its owner only, once started."""
    path = services.data / SOCKET_NAME
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise BadInput(f"{path} is too long for a socket; choose a shorter data directory")
    config = Config()
    config.bind = [f"unix:{path}"]
    config.umask = 0o177
    config.errorlog = logging.getLogger("p2pgrid.api.http")
    config.accesslog = None
    try:
        app = cast(ASGIFramework, make_app(services))
        await serve(app, config, task_status=task_status, mode="asgi")
    finally:
        path.unlink(missing_ok=True)


def _missing_field(_: Request, error: Exception) -> Response:
    return _refusal(BadInput(f"the request lacks {error}"))


def _bad_value(_: Request, error: Exception) -> Response:
    return _refusal(BadInput(f"the request makes no sense: {error}"))


def _refusal(error: GridError) -> Response:
    return JSONResponse(error_document(error), status_code=400)


def _unexpected(request: Request, error: Exception) -> Response:
    """A fault of ours: the log has all of it, the client a line."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    document = {"error": "GridError", "message": "the node failed on this; its log says how"}
    return JSONResponse(document, status_code=500)
