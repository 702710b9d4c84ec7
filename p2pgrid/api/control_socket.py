"""An HTTP server on a Unix socket that only its owner can open.

Hypercorn waits without end for a client that does not read its answer, also
when it is told to stop. So the connections are accepted here, and cut off when
the node stops.
"""

import errno
import logging
import os
import socket
import stat
from collections.abc import Generator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState
from hypercorn.utils import wrap_app

from p2pgrid.errors import BadInput, Unusable
from p2pgrid.limits.control import CONTROL_BACKLOG, SOCKET_PATH_BYTES_MAX
from p2pgrid.starting import Starting

log = logging.getLogger(__name__)

_FOREIGN_RIGHTS = stat.S_IRWXG | stat.S_IRWXO | stat.S_IXUSR


async def serve_on_socket(
    app: ASGIFramework, path: Path, *, task_status: Starting[Path] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled. The socket is there, for its owner only, once started.

    Raises:
        BadInput: the path is too long.
        Unusable: the socket cannot be made there.
    """
    config = Config()
    config.errorlog = log
    config.accesslog = None
    serve_one = partial(_serve_connection, app, config, WorkerContext(None))
    with _listening(path) as listening:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening))
        task_status.started(path)
        await trio.serve_listeners(serve_one, [listener])


@contextmanager
def _listening(path: Path) -> Generator[socket.socket]:
    """A socket at `path` for the block."""
    with closing(_listen(path)) as listening:
        try:
            yield listening
        finally:
            path.unlink(missing_ok=True)


def _listen(path: Path) -> socket.socket:
    """A socket at `path`; one that a killed node left there is replaced."""
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
        raise BadInput(f"{path} is too long for a socket; choose a shorter data directory")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(_FOREIGN_RIGHTS)  # no moment at which others could open it
    try:
        if path.is_socket():
            path.unlink()
        listening.bind(os.fspath(path))
        listening.listen(CONTROL_BACKLOG)
    except OSError as error:
        listening.close()
        reason = (
            "something else has that name" if error.errno == errno.EADDRINUSE else error.strerror
        )
        raise Unusable(f"the control socket {path} cannot be made: {reason}") from error
    finally:
        os.umask(umask)
    return listening


async def _serve_connection(
    app: ASGIFramework, config: Config, context: WorkerContext, stream: trio.SocketStream
) -> None:
    """Serve one client. Whatever it does, only its own connection ends."""
    server = TCPServer(
        wrap_app(app, config.wsgi_max_body_size, "asgi"),
        config,
        context,
        ConnectionState({}),
        stream,  # type: ignore[arg-type] # it takes plain ones as well, and looks
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cut_off_when_cancelled, stream)
        try:
            await server
        except* Exception:
            log.exception("a client of the control socket was cut off")
        nursery.cancel_scope.cancel()


async def _cut_off_when_cancelled(stream: trio.SocketStream) -> None:
    try:
        await trio.sleep_forever()
    finally:
        stream.socket.close()
