"""The socket is for its owner alone, survives what clients do, and ends when it is told to."""

import os
import socket
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from hypercorn.trio.tcp_server import TCPServer

from p2pgrid.api.control_socket import serve_on_socket
from p2pgrid.errors import BadInput, Unusable
from p2pgrid.limits.control import SOCKET_PATH_BYTES_MAX

STOP_SECONDS_MAX = 5.0
LARGE_BYTES = 20_000_000


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the path; `/large` with more than any buffer holds, `/broken` not at all."""
    if scope["path"] == "/broken":
        raise RuntimeError("a fault")
    body = scope["path"].encode()
    if scope["path"] == "/large":
        body = bytes(LARGE_BYTES)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": False})


@asynccontextmanager
async def served(path: Path) -> AsyncGenerator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve_on_socket, app, path))
        yield
        nursery.cancel_scope.cancel()


async def ask(path: Path, target: str) -> bytes:
    """The whole answer to a GET."""
    answer = bytearray()
    async with await trio.open_unix_socket(str(path)) as stream:
        await stream.send_all(get(target))
        with trio.fail_after(STOP_SECONDS_MAX):
            while piece := await stream.receive_some():
                answer += piece
    return bytes(answer)


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n".encode()


async def test_only_the_owner_may_open_it(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    umask = os.umask(0)
    try:
        async with served(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert os.umask(0) == 0, "the umask of the node is as before"
    finally:
        os.umask(umask)
    assert not path.exists()


async def test_there_is_no_moment_at_which_others_may_open_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []

    class Watched(socket.socket):
        def listen(self, backlog: int = 0, /) -> None:
            modes.append(stat.S_IMODE(Path(self.getsockname()).stat().st_mode))
            super().listen(backlog)

    monkeypatch.setattr(socket, "socket", Watched)
    umask = os.umask(0)
    try:
        async with served(tmp_path / "control.sock"):
            pass
    finally:
        os.umask(umask)

    assert modes == [0o600]


async def test_a_socket_that_a_killed_node_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(str(path))

    async with served(path):
        assert b"200" in await ask(path, "/here")


async def test_a_file_of_that_name_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("precious")

    with pytest.raises(Unusable, match="something else has that name"):
        await serve_on_socket(app, path)

    assert path.read_text() == "precious"


async def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match=r"gone.*No such file"):
        await serve_on_socket(app, tmp_path / "gone" / "control.sock")


async def test_a_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / ("x" * SOCKET_PATH_BYTES_MAX)

    with pytest.raises(BadInput, match="shorter data directory"):
        await serve_on_socket(app, path)


async def test_a_client_that_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with served(path):
        silent = await trio.open_unix_socket(str(path))
        await silent.send_all(get("/large"))
        await silent.receive_some(1)  # now the server writes to a full socket

        assert b"200" in await ask(path, "/other")
        stopping = trio.current_time()
    assert trio.current_time() - stopping < STOP_SECONDS_MAX
    await silent.aclose()
    assert not path.exists()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"\x00\xff garbage\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /%ff%00%2f HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x09\x00\x00\x00\x00\x00",
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nHTTP2-Settings: %%\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_whatever_a_client_sends_only_its_own_connection_ends(
    tmp_path: Path, request_bytes: bytes
) -> None:
    path = tmp_path / "control.sock"
    async with served(path):
        async with await trio.open_unix_socket(str(path)) as stream:
            await stream.send_all(request_bytes)
            assert b"/beside" in await ask(path, "/beside")

        assert b"/after" in await ask(path, "/after")


async def test_a_fault_in_serving_one_client_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_: TCPServer) -> None:
        await trio.lowlevel.checkpoint()
        raise LookupError("a fault of the server")

    path = tmp_path / "control.sock"
    async with served(path):
        with monkeypatch.context() as patched:
            patched.setattr(TCPServer, "run", fail)
            with pytest.raises(trio.BrokenResourceError):
                await ask(path, "/broken")

        assert b"/after" in await ask(path, "/after")
    assert "a fault of the server" in caplog.text
