"""The way from a command to the running node: HTTP over the control socket."""

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from p2pgrid import errors
from p2pgrid.errors import GridError, Unreachable
from p2pgrid.limits import CONTROL_ANSWER_SECONDS_MAX, SOCKET_PATH_BYTES_MAX

SOCKET_NAME = "control.sock"

Json = Any
"""What a JSON document decodes to."""


class _SocketConnection(HTTPConnection):
    """HTTP to a Unix socket instead of a host."""

    def __init__(self, path: Path) -> None:
        super().__init__("node", timeout=CONTROL_ANSWER_SECONDS_MAX)
        self._path = path

    def connect(self) -> None:
        """Open the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class NodeClient:
    """A thin client of one node's control API. One request at a time."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.socket_path = data / SOCKET_NAME

    def get(self, path: str, **query: object) -> Json:
        """The answer to a GET; None values are left out of the query.

        Raises:
            GridError: what the node says went wrong, as its class.
            Unreachable: no node runs on this data directory.
        """
        pairs = {key: value for key, value in query.items() if value not in (None, ())}
        suffix = f"?{urlencode(pairs, doseq=True)}" if pairs else ""
        return self._answer("GET", path + suffix, None)

    def post(self, path: str, body: Json = None) -> Json:
        """The answer to a POST. Raises like `get`."""
        return self._answer("POST", path, body)

    def stream(self, path: str, body: Json = None) -> Iterator[dict[str, Json]]:
        """The lines of an answer as they come: progress, and the result last. Raises like `get`."""
        with self._sent("POST", path, body) as response:
            for line in response:
                message = json.loads(line)
                if "error" in message:
                    raise _error_of(message)
                yield message

    def read(self, path: str, **query: object) -> tuple[bytes, int]:
        """Raw bytes, and the offset after them that the node names. Raises like `get`."""
        pairs = {key: value for key, value in query.items() if value is not None}
        with self._sent("GET", f"{path}?{urlencode(pairs)}", None) as response:
            return response.read(), int(response.headers.get("x-next-offset", "0"))

    def _answer(self, method: str, path: str, body: Json) -> Json:
        with self._sent(method, path, body) as response:
            return json.loads(response.read() or b"null")

    @contextmanager
    def _sent(self, method: str, path: str, body: Json) -> Iterator[HTTPResponse]:
        """The answer to one request, on a connection of its own."""
        if len(str(self.socket_path).encode()) > SOCKET_PATH_BYTES_MAX:
            raise errors.BadInput(
                f"{self.socket_path} is too long for a socket; choose a shorter data directory"
            )
        payload = None if body is None else json.dumps(body)
        with closing(_SocketConnection(self.socket_path)) as connection:
            try:
                connection.request(
                    method, _quoted(path), payload, {"content-type": "application/json"}
                )
                response = connection.getresponse()
            except (OSError, HTTPException) as error:
                raise Unreachable(
                    f"no node answers at {self.socket_path} ({_reason(error)}); "
                    f"start one: p2pgrid --data {self.data} node run"
                ) from error
            with response:
                if response.status >= 400:
                    raise _error_of(_parse_error(response.read()))
                yield response


def _quoted(path: str) -> str:
    """A path that people's names may stand in; its query is encoded already."""
    before, mark, query = path.partition("?")
    return quote(before) + mark + query


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or "it hung up"


def _parse_error(body: bytes) -> dict[str, Json]:
    try:
        message = json.loads(body)
    except ValueError:
        message = None
    if isinstance(message, dict):
        return message
    return {"error": "GridError", "message": body.decode(errors="replace")[:500]}


def _error_of(message: dict[str, Json]) -> GridError:
    """The error that the node names, as the class of that name."""
    cls = getattr(errors, str(message.get("error")), GridError)
    if not (isinstance(cls, type) and issubclass(cls, GridError)):
        cls = GridError
    return cls(str(message.get("message", "the node refused without a reason")))
