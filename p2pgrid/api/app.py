"""The control API: HTTP with JSON on a Unix socket that only the node's owner can open."""

from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import trio
from hypercorn.typing import ASGIFramework
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from p2pgrid.api.answers import error_answer, fault_answer, no_such_route
from p2pgrid.api.chunk_routes import ChunkRoutes
from p2pgrid.api.control_socket import serve_on_socket
from p2pgrid.api.explorer_routes import ExplorerRoutes
from p2pgrid.api.flist_routes import FlistRoutes
from p2pgrid.api.grid_routes import GridRoutes
from p2pgrid.api.money_routes import MoneyRoutes
from p2pgrid.api.publisher_routes import PublisherRoutes
from p2pgrid.api.reservation_routes import ReservationRoutes
from p2pgrid.api.services import Services
from p2pgrid.errors import GridError
from p2pgrid.starting import Starting

SOCKET_NAME = "control.sock"

_Handler = Callable[[Request], Awaitable[Response]]
_ErrorHandler = Callable[[Request, Exception], Response]


def make_app(services: Services) -> Starlette:
    """Every route of the control API.

    What a person names may hold a slash, so names are `path`; the longer routes come first.
    """
    grid, money = GridRoutes(services), MoneyRoutes(services)
    flists, reservations = FlistRoutes(services), ReservationRoutes(services)
    chunks, publishers = ChunkRoutes(services), PublisherRoutes(services)
    gets: dict[str, _Handler] = {
        "/status": grid.status,
        "/peers": grid.peers,
        "/nodes": grid.nodes,
        "/nodes/{node:path}": grid.node,
        "/explorer": ExplorerRoutes(services).status,
        "/farms": grid.farms,
        "/farms/{farm:path}": grid.farm,
        "/wallets": money.wallets,
        "/accounts/{account:path}/history": money.history,
        "/accounts/{account:path}": money.account,
        "/ledger": money.ledger,
        "/ledger/evidence": money.evidence,
        "/ledger/proofs/{operation:path}": money.proof,
        "/publishers": publishers.publishers,
        "/ledger/epochs": money.epochs,
        "/ledger/witnesses": money.witnesses,
        "/flists": flists.names,
        "/flists/{flist:path}": flists.show,
        "/flist-files/{flist:path}": flists.file,
        "/chunks": chunks.stats,
        "/reservations": reservations.list_all,
        "/reservations/{reservation:path}/logs": reservations.logs,
        "/reservations/{reservation:path}": reservations.show,
    }
    posts: dict[str, _Handler] = {
        "/farms": grid.create_farm,
        "/payments": money.pay,
        "/ledger/verify": money.verify,
        "/flists": flists.convert,
        "/flists/verify": flists.verify,
        "/flists/blobs": flists.blobs,
        "/flists/pull": flists.pull,
        "/flists/stop-seeding": flists.stop_seeding,
        "/publishers/forget": publishers.forget,
        "/flists/names": flists.publish,
        "/flists/names/withdraw": flists.withdraw,
        "/chunks/verify": chunks.verify,
        "/chunks/gc": chunks.collect,
        "/reservations": reservations.reserve,
        "/reservations/candidates": reservations.candidates,
        "/reservations/{reservation:path}/cancel": reservations.cancel,
        "/reservations/{reservation:path}/reclaim": reservations.reclaim,
    }
    routes = [Route(path, handler, methods=["GET"]) for path, handler in gets.items()]
    routes += [Route(path, handler, methods=["POST"]) for path, handler in posts.items()]
    handlers: dict[type[Exception], _ErrorHandler] = {
        GridError: error_answer,
        HTTPException: no_such_route,
        Exception: fault_answer,
    }
    app = Starlette(routes=routes, exception_handlers={**handlers})
    app.router.redirect_slashes = False  # an empty name must not lead to another route
    return app


def serve_control(
    services: Services, *, task_status: Starting[Path] = trio.TASK_STATUS_IGNORED
) -> Coroutine[Any, Any, None]:
    """Serve until cancelled. The socket is there, for its owner only, once started.

    Raises:
        BadInput: the path of the data directory is too long for a socket in it.
        Unusable: the socket cannot be made there.
    """
    app = cast(ASGIFramework, make_app(services))
    return serve_on_socket(app, services.data / SOCKET_NAME, task_status=task_status)
