"""The listener: HTTP/1.1 for strangers, read-only, with a limit for everything they do.

    curl -i 'http://127.0.0.1:8080/nodes?status=up&free_mru=4294967296&ret_count=true'

The server that the control socket uses trusts its clients: it speaks HTTP/2 and WebSockets as well,
and waits without end for one who does not read. Here every wait has its limit, bodies are not read,
and an answer is made at once, by pure code.
"""

import errno
import logging
import socket
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import count
from random import Random, SystemRandom
from typing import Any

import h11
import trio

from p2pgrid.api.services import Services
from p2pgrid.config import parse_host_port
from p2pgrid.errors import Unusable
from p2pgrid.explorer.service import ExplorerService
from p2pgrid.explorer.view import View
from p2pgrid.gridproxy.answers import Answer, error_answer
from p2pgrid.gridproxy.gpus import GpuTexts
from p2pgrid.gridproxy.ledger_lists import ContractTable, LedgerFacts, LedgerLists, all_twins
from p2pgrid.gridproxy.nodes import NodeLists
from p2pgrid.gridproxy.numbers import id_column
from p2pgrid.gridproxy.places import Budgets, Places, Waiting
from p2pgrid.gridproxy.routes import Grid, answer, needs_gpus, needs_ledger
from p2pgrid.ledger.service import LedgerService
from p2pgrid.limits.explorer import COLUMNS_SLICE
from p2pgrid.limits.gridproxy import (
    GPU_TEXTS_SLICE,
    HTTP_BACKLOG,
    HTTP_BODY_BYTES_MAX,
    HTTP_COST_MS_MIN,
    HTTP_FULL_SECONDS,
    HTTP_HEAD_BYTES_MAX,
    HTTP_HEAD_SECONDS_MAX,
    HTTP_KERNEL_BYTES,
    HTTP_READ_BYTES,
    HTTP_REFUSED_SECONDS,
    HTTP_SEND_SECONDS_MAX,
    HTTP_SMALL_BYTES,
    LEDGER_FRESH_MS,
    LEDGER_SLICE,
    PREFLIGHT_SECONDS,
)
from p2pgrid.model.genesis import PricingPolicy
from p2pgrid.net.admission import site_of
from p2pgrid.starting import Starting
from p2pgrid.units import SECOND_MS, TimestampMs

log = logging.getLogger(__name__)

_GETS = (b"GET", b"HEAD")
_ALLOWED = "GET, HEAD, OPTIONS"
_FOR_EVERY_ORIGIN = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "count, size, pages, retry-after",
    "x-content-type-options": "nosniff",
}
_PREFLIGHT = {
    "access-control-allow-methods": _ALLOWED,
    "access-control-allow-headers": "*",
    "access-control-max-age": str(PREFLIGHT_SECONDS),
}
_NO_CONTENT = 204
_TOO_MUCH = 429


@dataclass(frozen=True, slots=True, kw_only=True)
class GridFacts:
    """What the rest of the node tells us."""

    view: Callable[[], View]
    pricing: PricingPolicy
    ledger: LedgerFacts
    peer_count: Callable[[], int]
    version: str
    now_ms: Callable[[], TimestampMs]
    random: Random


def listen_on(host: str, port: int) -> socket.socket:
    """A socket that listens on one address of this machine.

    Raises:
        Unusable: there is no such address, or somebody else has the port.
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, HTTP_KERNEL_BYTES)
        listening.bind((host, port))
        listening.listen(HTTP_BACKLOG)
    except OSError as error:
        listening.close()
        is_taken = error.errno == errno.EADDRINUSE
        reason = "something else listens there" if is_taken else error.strerror
        raise Unusable(f"cannot answer HTTP on {where}: {reason}") from error
    return listening


def serve_gridproxy(
    services: Services, where: str, *, task_status: Starting[int] = trio.TASK_STATUS_IGNORED
) -> Coroutine[Any, Any, None]:
    """Answer what a full node knows, at HOST:PORT, until cancelled. Raises BadInput, Unusable."""
    explorer, ledger = services.explorer.service, services.ledger
    assert isinstance(explorer, ExplorerService), "a light peer's settings name no address"
    assert isinstance(ledger, LedgerService), "a light peer's settings name no address"
    facts = GridFacts(
        view=lambda: explorer.view,
        pricing=services.genesis.pricing,
        ledger=ledger,
        peer_count=lambda: len(services.network.peers()),
        version=version("p2pgrid"),
        now_ms=services.now_ms,
        random=SystemRandom(),
    )
    listening = listen_on(*parse_host_port(where))
    log.info("REST for everybody, at %s port %d", *listening.getsockname()[:2])
    return GridProxyService(facts, listening).run(task_status=task_status)


def _parser() -> h11.Connection:
    return h11.Connection(h11.SERVER, max_incomplete_event_size=HTTP_HEAD_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class _Told:
    """An answer as it is sent: its document may be many times as large."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class _Client:
    """One connection."""

    number: int
    site: str
    stream: trio.SocketStream
    parser: h11.Connection = field(default_factory=_parser)


class GridProxyService:
    """Answers strangers on one socket, which it closes at the end. One task calls `run`."""

    def __init__(self, facts: GridFacts, listening: socket.socket) -> None:
        self._facts = facts
        self._listening = listening
        self._places = Places()
        self._scopes: dict[int, trio.CancelScope] = {}
        self._numbers = count()
        self._contracts = ContractTable()
        self._twins = id_column([])
        self._gpus = GpuTexts()
        self._ledger_ms: TimestampMs | None = None
        self._refreshing = trio.Lock()
        self._waiting = Waiting()
        self._making = trio.Lock()
        """Held while an answer is made: others have their turns between two answers."""

    async def run(self, *, task_status: Starting[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Answer until cancelled."""
        budgets = Budgets(trio.current_time())

        async def serve(stream: trio.SocketStream) -> None:
            with self._place(stream) as client:
                if client is not None:
                    await self._serve(client, budgets)

        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._listening))
        task_status.started(self._listening.getsockname()[1])
        await trio.serve_listeners(serve, [listener])

    @contextmanager
    def _place(self, stream: trio.SocketStream) -> Iterator[_Client | None]:
        """A place for a connection; None when its site has enough. Who idles makes place."""
        number, site = next(self._numbers), site_of(_host_of(stream))
        if not self._places.arrive(number, site):
            stream.socket.close()
            yield None
            return
        with trio.CancelScope() as scope:
            self._scopes[number] = scope
            try:
                if (crowded := self._places.whom_to_drop()) is not None:
                    self._scopes[crowded].cancel()
                yield _Client(number, site, stream)
            finally:
                self._places.leave(number)
                del self._scopes[number]
                stream.socket.close()

    async def _serve(self, client: _Client, budgets: Budgets) -> None:
        """Answer one client until it leaves, breaks the protocol or is too slow."""
        try:
            while (request := await _next_request(client)) is not None:
                self._places.work(client.number)
                await self._exchange(client, request, budgets)
                if not _has_ended(client.parser):
                    return
                client.parser.start_next_cycle()
                self._places.rest(client.number)
        except h11.RemoteProtocolError as error:
            await _refuse(client, error.error_status_hint)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            pass  # it is gone, or does not read
        except Exception:
            log.exception("a client of the REST interface was cut off")

    async def _exchange(self, client: _Client, request: h11.Request, budgets: Budgets) -> None:
        """Answer one request. Nothing of the answer is held when it is sent."""
        async with self._making:  # a budget is looked at when those before have been charged
            told = await self._answer(client, request, budgets)
            if not self._waiting.has_room(client.site, len(told.body)):
                after = {"retry-after": str(HTTP_FULL_SECONDS)}
                told = _told(error_answer(503, "too many answers wait to be taken", after))
        if told.status == _TOO_MUCH:
            self._places.rest(client.number)  # who waits makes place for who comes
            await trio.sleep(HTTP_REFUSED_SECONDS)
        if request.method == b"HEAD":
            await _send(client, told, with_body=False)
            return
        with self._waiting.hold(client.site, len(told.body)):
            await _send(client, told)

    async def _answer(self, client: _Client, request: h11.Request, budgets: Budgets) -> _Told:
        wait_seconds = budgets.wait_seconds(client.site, trio.current_time())
        if wait_seconds:
            after = {"retry-after": str(int(wait_seconds) + 1)}
            return _told(error_answer(_TOO_MUCH, "too much was asked for; ask again later", after))
        if request.method not in _GETS:
            budgets.charge(client.site, HTTP_COST_MS_MIN)
            return _not_a_get(request)
        path, _, query = request.target.decode("ascii", "replace").partition("?")
        is_behind = True  # after a start by the whole grid
        while is_behind:
            await trio.lowlevel.checkpoint()
            is_behind = self._facts.view().columns.bring(COLUMNS_SLICE)
        if needs_gpus(query):
            await self._read_gpus(client.site, budgets)
        if needs_ledger(path):
            await self._refresh_ledger()
        started = time.thread_time()
        try:
            return _told(answer(self._grid(), path, query, self._facts.random))
        except Exception:
            log.exception("a question to the REST interface failed")
            return _told(error_answer(500, "the node failed on this; its log says how"))
        finally:
            budgets.charge(client.site, SECOND_MS * (time.thread_time() - started))

    def _grid(self) -> Grid:
        facts = self._facts
        nodes = NodeLists(facts.view(), facts.pricing, facts.now_ms(), self._gpus)
        ledger = LedgerLists(nodes, self._contracts, self._twins, facts.ledger.signed_at_ms)
        return Grid(nodes, ledger, facts.peer_count(), facts.version)

    async def _read_gpus(self, site: str, budgets: Budgets) -> None:
        """Read the GPUs that were announced since somebody asked for some."""
        names = self._facts.view().columns.now().gpu_names
        new = self._gpus.unread([texts for texts, _ in names])
        for start in range(0, len(new), GPU_TEXTS_SLICE):
            started = time.thread_time()
            for texts in new[start : start + GPU_TEXTS_SLICE]:
                self._gpus.lines(texts)
            budgets.charge(site, SECOND_MS * (time.thread_time() - started))
            await trio.lowlevel.checkpoint()

    async def _refresh_ledger(self) -> None:
        """Make contracts and twins anew when they are not fresh any more."""
        async with self._refreshing:
            facts, made_ms = self._facts, self._ledger_ms
            now_ms = facts.now_ms()
            if made_ms is not None and 0 <= now_ms - made_ms < LEDGER_FRESH_MS:
                return
            escrows = list(facts.ledger.escrows())
            parts = [ContractTable()]
            for start in range(0, len(escrows), LEDGER_SLICE):
                parts.append(ContractTable(escrows[start : start + LEDGER_SLICE]))
                await trio.lowlevel.checkpoint()
            accounts = id_column(list(facts.ledger.accounts()))
            rows = facts.view().rows(now_ms)
            nodes = rows.nodes["node"][rows.alive()]
            farms = rows.columns.farms["farm"].copy()  # the thread must not see it change
            self._twins = await trio.to_thread.run_sync(all_twins, accounts, nodes, farms)
            self._contracts = ContractTable.joined(parts)
            self._ledger_ms = now_ms


async def _next_request(client: _Client) -> h11.Request | None:
    """The head of the next request; None when the client is done. Raises TooSlowError."""
    with trio.fail_after(HTTP_HEAD_SECONDS_MAX):
        while True:
            event = client.parser.next_event()
            if isinstance(event, h11.Request):
                return event
            if event is not h11.NEED_DATA:
                return None
            client.parser.receive_data(await client.stream.receive_some(HTTP_READ_BYTES))


def _has_ended(parser: h11.Connection) -> bool:
    """Whether another request may follow. Bodies are not read: after one, none may."""
    is_whole = isinstance(parser.next_event(), h11.EndOfMessage)
    return is_whole and parser.our_state is h11.DONE


def _told(made: Answer) -> _Told:
    """An answer as bytes, if they are not too many."""
    body = made.body()
    if len(body) > HTTP_BODY_BYTES_MAX:
        return _told(error_answer(400, "this page is too large; ask for a smaller size"))
    return _Told(made.status, made.headers, body)


def _not_a_get(request: h11.Request) -> _Told:
    if request.method == b"OPTIONS":
        return _Told(_NO_CONTENT, _PREFLIGHT, b"")
    headers = {"allow": _ALLOWED, "connection": "close"}  # its body is not read
    return _told(error_answer(405, "this interface is for reading only", headers))


async def _send(client: _Client, told: _Told, *, with_body: bool = True) -> None:
    """Send an answer. Raises TooSlowError when nobody takes it."""
    headers = {**_FOR_EVERY_ORIGIN, **told.headers}
    if told.body:
        headers |= {"content-type": "application/json", "content-length": str(len(told.body))}
    parts: list[h11.Event] = [h11.Response(status_code=told.status, headers=[*headers.items()])]
    if told.body and with_body:
        parts.append(h11.Data(data=told.body))
    await _send_parts(client, [*parts, h11.EndOfMessage()])


async def _send_parts(client: _Client, parts: list[h11.Event]) -> None:
    """Together only if they are small: it is one more copy."""
    pieces = [client.parser.send(part) or b"" for part in parts]
    if sum(map(len, pieces)) <= HTTP_SMALL_BYTES:
        pieces = [b"".join(pieces)]
    with trio.fail_after(HTTP_SEND_SECONDS_MAX):
        for piece in pieces:
            await client.stream.send_all(piece)


async def _refuse(client: _Client, status: int) -> None:
    """Tell somebody who does not speak HTTP/1.1, if that is still possible."""
    if client.parser.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
        return
    body = error_answer(status, "not a request of HTTP/1.1, or its head is too long").body()
    head = [("content-length", str(len(body))), ("connection", "close")]
    try:
        await _send_parts(
            client, [h11.Response(status_code=status, headers=head), h11.Data(data=body)]
        )
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
        return


def _host_of(stream: trio.SocketStream) -> str:
    """Who connected; empty when it is gone already."""
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return ""
