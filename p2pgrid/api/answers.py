"""How the control API answers: JSON, lines of progress, errors as class and message."""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from p2pgrid.api.documents import to_json
from p2pgrid.api.fields import Json
from p2pgrid.errors import BadInput, GridError, InvalidRecord, NotFound, Unreachable
from p2pgrid.limits.reservation import PROGRESS_SECONDS

log = logging.getLogger(__name__)


class OnProgress(Protocol):
    """Hears how far some work is; callable from any thread."""

    def __call__(self, phase: str, done: int, total: int, **details: int) -> None:
        """Total is 0 when unknown; details are what else is to be shown."""
        ...


Work = Callable[[OnProgress], Awaitable[Json]]

_FAULT = GridError("the node failed on this; its log says how")
_PATH_SHOWN_CHARACTERS_MAX = 70


def json_answer(value: object) -> JSONResponse:
    """A record, or anything made of records, as JSON."""
    return JSONResponse(to_json(value))


def error_document(error: GridError) -> dict[str, str]:
    """What went wrong, for a client that raises the same class again."""
    # A record that cannot be was made of what the client wants: to him it is bad input.
    cls = BadInput if isinstance(error, InvalidRecord) else type(error)
    return {"error": cls.__name__, "message": str(error)}


def error_answer(_: Request, error: Exception) -> Response:
    """The answer to a request that raised a GridError."""
    assert isinstance(error, GridError), "registered for GridError only"
    status = 400
    if isinstance(error, NotFound):
        status = 404
    elif isinstance(error, Unreachable):
        status = 504
    return JSONResponse(error_document(error), status_code=status)


def no_such_route(request: Request, error: Exception) -> Response:
    """The answer to a path or method that does not exist here."""
    assert isinstance(error, HTTPException), "registered for HTTPException only"
    missing = NotFound(
        f"this node knows no {request.method} {request.url.path[:_PATH_SHOWN_CHARACTERS_MAX]}; "
        "is p2pgrid of the same version as the node?"
    )
    return JSONResponse(error_document(missing), status_code=error.status_code)


def fault_answer(request: Request, error: Exception) -> Response:
    """The answer after a fault of ours: the log has all of it, the client a line."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse(error_document(_FAULT), status_code=500)


class ProgressAnswer(Response):
    """Does its work while it answers: a line of JSON for progress now and then, the result last.

    The status is sent before the work begins, so an error is a line too. A
    client that hangs up ends nothing: what was begun goes on to its end.
    """

    def __init__(self, work: Work) -> None:
        super().__init__(media_type="application/x-ndjson")
        self._work = work
        self._latest: dict[str, Mapping[str, Json]] = {}
        self._outcome: dict[str, Json] | None = None
        self._is_done = trio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI calls it
        """Answer one request."""
        headers = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run)
            while not self._is_done.is_set():
                with trio.move_on_after(PROGRESS_SECONDS):
                    await self._is_done.wait()
                await self._send_progress(send)
        await _send_line(send, self._outcome)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _run(self) -> None:
        try:
            self._outcome = {"result": to_json(await self._work(self._note))}
        except GridError as error:
            self._outcome = error_document(error)
        except Exception:
            log.exception("what a client waits for failed")
            self._outcome = error_document(_FAULT)
        self._is_done.set()

    def _note(self, phase: str, done: int, total: int, **details: int) -> None:
        self._latest[phase] = {"phase": phase, "done": done, "total": total, **details}

    async def _send_progress(self, send: Send) -> None:
        latest, self._latest = self._latest, {}
        for progress in latest.values():
            await _send_line(send, {"progress": progress})


async def _send_line(send: Send, document: Json) -> None:
    line = json.dumps(document, separators=(",", ":")).encode() + b"\n"
    await send({"type": "http.response.body", "body": line, "more_body": True})
