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
from p2pgrid.errors import BadInput, GridError, Unreachable
from p2pgrid.limits.control import CONTROL_ANSWER_SECONDS_MAX, SOCKET_PATH_BYTES_MAX

SOCKET_NAME = "control.sock"

Json = Any
"""What a JSON document decodes to."""

_SHOWN_CHARACTERS_MAX = 500


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

        Args:
            path: with what people wrote in it made safe by `segment`.
            query: lists occur once for each item.

        Raises:
            GridError: what the node says went wrong, as its class.
            Unreachable: no node runs on this data directory, or it stopped answering.
        """
        return self._answer("GET", path + _query(query), None)

    def post(self, path: str, body: Json = None) -> Json:
        """The answer to a POST. Raises like `get`."""
        return self._answer("POST", path, body)

    def stream(self, path: str, body: Json = None) -> Iterator[dict[str, Json]]:
        """The lines of an answer as they come: progress, and the result last. Raises like `get`."""
        with self._sent("POST", path, body) as response:
            for line in response:
                message = _decode(line)
                if "error" in message:
                    raise _error_of(message)
                yield message

    def read(self, path: str, **query: object) -> tuple[bytes, int]:
        """Raw bytes, and the offset after them that the node names. Raises like `get`."""
        with self._sent("GET", path + _query(query), None) as response:
            return response.read(), int(response.headers.get("x-next-offset", "0"))

    def read_posted(self, path: str, body: Json) -> bytes:
        """The raw bytes of the answer to a POST. Raises like `get`."""
        with self._sent("POST", path, body) as response:
            return response.read()

    def _answer(self, method: str, path: str, body: Json) -> Json:
        with self._sent(method, path, body) as response:
            return _decode(response.read())

    @contextmanager
    def _sent(self, method: str, path: str, body: Json) -> Iterator[HTTPResponse]:
        """The answer to one request, on a connection of its own."""
        payload = None if body is None else json.dumps(body)
        with closing(self._connect()) as connection:
            try:
                connection.request(method, path, payload, {"content-type": "application/json"})
                with connection.getresponse() as response:
                    if response.status >= 400:
                        raise _error_of(_parse_error(response.read()))
                    yield response
            except (OSError, HTTPException, _NotJson) as error:
                raise Unreachable(
                    f"the node of {self.data} stopped answering ({_reason(error)}); "
                    f"{self.data / 'node.log'} may say why"
                ) from error

    def _connect(self) -> _SocketConnection:
        if len(str(self.socket_path).encode(errors="replace")) > SOCKET_PATH_BYTES_MAX:
            raise BadInput(
                f"{self.socket_path} is too long for a socket; choose a shorter data directory"
            )
        connection = _SocketConnection(self.socket_path)
        try:
            connection.connect()
        except PermissionError as error:
            connection.close()
            raise Unreachable(
                f"only its owner may use the node of {self.data}; be that user, or choose "
                "another node by --data"
            ) from error
        except OSError as error:
            connection.close()
            raise Unreachable(
                f"no node answers at {self.socket_path} ({_reason(error)}); "
                f"start one: p2pgrid --data {self.data} node run"
            ) from error
        return connection


class _NotJson(Exception):
    """The answer was cut off, or is not from a node."""


def segment(name: str) -> str:
    """A name as part of a path, whatever a person wrote. Raises BadInput.

    >>> segment("Green Valley/2?")
    'Green%20Valley%2F2%3F'
    """
    try:
        return quote(name, safe="")
    except UnicodeEncodeError:
        raise BadInput(f"{name!a} is not UTF-8") from None


def _query(query: dict[str, object]) -> str:
    pairs = {key: value for key, value in query.items() if value not in (None, (), "")}
    try:
        return f"?{urlencode(pairs, doseq=True)}" if pairs else ""
    except UnicodeEncodeError:
        raise BadInput(f"{pairs!a} is not UTF-8") from None


def _decode(body: bytes) -> Json:
    try:
        return json.loads(body)
    except ValueError as error:
        raise _NotJson("its answer is cut off") from error


def _reason(error: Exception) -> str:
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return " ".join(text.split()) or "it hung up"


def _parse_error(body: bytes) -> dict[str, Json]:
    try:
        message = json.loads(body)
    except ValueError:
        message = None
    if isinstance(message, dict):
        return message
    return {"message": body.decode(errors="replace")[:_SHOWN_CHARACTERS_MAX] or None}


def _error_of(message: dict[str, Json]) -> GridError:
    """The error that the node names, as the class of that name."""
    cls = getattr(errors, str(message.get("error")), GridError)
    if not (isinstance(cls, type) and issubclass(cls, GridError)):
        cls = GridError
    return cls(str(message.get("message") or "the node refused without a reason"))
