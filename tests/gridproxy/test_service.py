"""A live server answers honest clients in time, whatever others do to it."""

import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from random import Random

import httpx
import pytest
import trio

from p2pgrid.errors import Unusable
from p2pgrid.gridproxy import service
from p2pgrid.gridproxy.service import (
    GridFacts,
    GridProxyService,
    listen_on,
    serve_gridproxy,
)
from p2pgrid.ledger.state import Escrow
from p2pgrid.limits.gridproxy import (
    HTTP_CONNECTIONS_PER_SITE_MAX,
    HTTP_HEAD_BYTES_MAX,
    LEDGER_FRESH_MS,
    LEDGER_SLICE,
)
from p2pgrid.model.ids import AccountId, RecordId
from p2pgrid.units import TimestampMs
from tests.api.grid import CONSUMER, account, open_grid
from tests.explorer.grid import NOW, node_of
from tests.gridproxy.world import ESCROWS, NODES, PRICING, escrow, world

SECONDS_MAX = 10.0
SHORT_SECONDS = 0.2
MORE_THAN_BUFFERS_HOLD = 200_000


class Ledger:
    """A ledger that counts how often it is read."""

    def __init__(self) -> None:
        self.all = list(ESCROWS)
        self.reads = 0

    def escrows(self) -> list[Escrow]:
        self.reads += 1
        return self.all

    def signed_at_ms(self, operation: RecordId) -> TimestampMs | None:
        return NOW

    def accounts(self) -> list[AccountId]:
        return [AccountId(node_of(50))]


def facts(ledger: Ledger, now_ms: Callable[[], TimestampMs] = lambda: NOW) -> GridFacts:
    view = world().view
    return GridFacts(
        view=lambda: view, pricing=PRICING, ledger=ledger, peer_count=lambda: 1, version="1.2.3",
        now_ms=now_ms, random=Random(1),
    )  # fmt: skip


@asynccontextmanager
async def served(told: GridFacts | None = None) -> AsyncGenerator[int]:
    """The port of a live server."""
    listening = listen_on("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        proxy = GridProxyService(told or facts(Ledger()), listening)
        with trio.fail_after(SECONDS_MAX):
            port = await nursery.start(proxy.run)
            yield port
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def client(port: int) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as asking:
        yield asking


async def connected(port: int) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", port)


async def all_of(stream: trio.SocketStream) -> bytes:
    """What comes until the other side closes."""
    data = bytearray()
    try:
        while piece := await stream.receive_some():
            data += piece
    except trio.BrokenResourceError:
        pass
    return bytes(data)


async def test_pages_together_are_the_whole_list() -> None:
    async with served() as port, client(port) as asking:
        whole = (await asking.get("/nodes", params={"free_mru": 1, "sort_by": "price_usd"})).json()
        found, pages = [], 1
        for page in range(1, 10):
            query = f"size=2&page={page}&ret_count=true&free_mru=1&sort_by=price_usd"
            told = await asking.get(f"/nodes?{query}")
            found += told.json()
            headers = told.headers
            assert (headers["count"], headers["size"]) == (str(len(whole)), "2")
            pages = int(headers["pages"])
        assert found == whole
        assert 2 < len(whole) < len(NODES)
        assert pages == -(-len(whole) // 2)
        assert "count" not in (await asking.get("/nodes")).headers


async def test_every_origin_may_read_and_nobody_may_write() -> None:
    async with served() as port, client(port) as asking:
        told = await asking.get("/ping", headers={"origin": "https://dashboard.example"})
        assert told.headers["access-control-allow-origin"] == "*"
        assert "count" in told.headers["access-control-expose-headers"]
        asked = await asking.request("OPTIONS", "/nodes")
        assert (asked.status_code, asked.content) == (204, b"")
        assert asked.headers["access-control-allow-methods"] == "GET, HEAD, OPTIONS"
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            refused = await asking.request(method, "/nodes", content=b"{}")
            assert (refused.status_code, list(refused.json())) == (405, ["error"])
        head = await asking.head("/version")
        assert (head.content, head.headers["content-length"]) == (b"", "19")


async def test_one_connection_takes_many_requests() -> None:
    async with served() as port:
        stream = await connected(port)
        async with stream:
            ask = b"GET /ping HTTP/1.1\r\nhost: x\r\n\r\n"
            last = b"GET /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            await stream.send_all(ask + ask + last)
            assert (await all_of(stream)).count(b'{"ping":"pong"}') == 3


async def test_only_http_1_is_spoken() -> None:
    """An upgrade is not an error in HTTP/1.1: it is left aside."""
    upgrade = b"GET /ping HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: %s\r\n\r\n"
    asked = {
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": b"405",
        upgrade % b"h2c": b"200",
        upgrade % b"websocket": b"200",
        b"\x16\x03\x01\x00\xa5\x01": b"400",
        b"GET /ping\r\n\r\n": b"400",
        b"GET /ping HTTP/1.1\r\n\r\n": b"400",
        b"GET /ping HTTP/1.1\r\nhost: x\r\nx: " + b"y" * HTTP_HEAD_BYTES_MAX: b"431",
    }
    async with served() as port:
        for request, status in asked.items():
            stream = await connected(port)
            async with stream:
                await stream.send_all(request)
                await stream.send_eof()
                told = await all_of(stream)
                assert told.startswith(b"HTTP/1.1 " + status), (request[:40], told[:200])
                assert b"HTTP/2" not in told


async def test_after_a_body_the_connection_ends() -> None:
    async with served() as port:
        stream = await connected(port)
        async with stream:
            head = b"GET /ping HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n"
            await stream.send_all(head + b"x" * 10)
            assert b"pong" in await all_of(stream)


async def test_a_site_has_so_many_connections_and_no_more() -> None:
    async with served() as port, client(port) as asking:
        await asking.get("/ping")
        held = [await connected(port) for _ in range(HTTP_CONNECTIONS_PER_SITE_MAX)]
        assert await all_of(held[-1]) == b""
        assert (await asking.get("/ping")).status_code == 200, "who was there is served"
        for stream in held:
            await stream.aclose()


async def test_who_idles_makes_place_for_who_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pgrid.gridproxy.places.HTTP_CONNECTIONS_MAX", 2)
    async with served() as port:
        first, second = [await connected(port) for _ in range(2)]
        async with first, second, client(port) as asking:
            assert (await asking.get("/ping")).status_code == 200
            assert await all_of(first) == b""
            await second.send_all(b"GET /ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            assert b"pong" in await all_of(second)


async def test_who_is_slow_to_ask_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "HTTP_HEAD_SECONDS_MAX", SHORT_SECONDS)
    async with served() as port:
        stream = await connected(port)
        async with stream:
            await stream.send_all(b"GET /ping HTTP/1.1\r\nx: ")
            assert await all_of(stream) == b""


async def test_who_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """All his answers together are more than the buffers of a connection hold."""
    monkeypatch.setattr(service, "HTTP_SEND_SECONDS_MAX", SHORT_SECONDS)
    listening = listen_on("127.0.0.1", 0)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    proxy = GridProxyService(facts(Ledger()), listening)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(SECONDS_MAX):
            port = await nursery.start(proxy.run)
            stream = await connected(port)
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            async with stream:
                ask = b"GET /nodes HTTP/1.1\r\nhost: x\r\n\r\n"
                with pytest.raises(trio.BrokenResourceError):
                    await stream.send_all(ask * MORE_THAN_BUFFERS_HOLD)
        nursery.cancel_scope.cancel()


async def test_who_asks_for_too_much_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "HTTP_REFUSED_SECONDS", SHORT_SECONDS)
    monkeypatch.setattr("p2pgrid.gridproxy.places.HTTP_SITE_BURST_MS", 0.0)
    monkeypatch.setattr("p2pgrid.gridproxy.places.HTTP_SITE_MS_PER_SECOND", 0.001)
    async with served() as port, client(port) as asking:
        assert (await asking.get("/nodes")).status_code == 200
        asked_at = trio.current_time()
        refused = await asking.get("/nodes")
        assert trio.current_time() - asked_at >= SHORT_SECONDS, "refusing costs CPU, too"
        assert (refused.status_code, list(refused.json())) == (429, ["error"])
        assert int(refused.headers["retry-after"]) >= 1


async def test_a_fault_of_ours_costs_one_answer(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> TimestampMs:
        raise RuntimeError("a fault")

    async with served(facts(Ledger(), now_ms=broken)) as port, client(port) as asking:
        told = await asking.get("/nodes")
        assert (told.status_code, list(told.json())) == (500, ["error"])
        assert "a fault" in caplog.text
        assert "a fault" not in told.text


async def test_after_a_start_the_grid_is_brought_into_columns_by_the_slice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever is first to ask must not hold up everybody else for seconds."""
    monkeypatch.setattr(service, "COLUMNS_SLICE", 1)
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    told, brought = facts(Ledger()), list[tuple[int, int]]()
    columns = told.view().columns
    bring = columns.bring

    def noted(most: int) -> bool:
        brought.append((most, turns))
        return bring(most)

    monkeypatch.setattr(columns, "bring", noted)
    async with served(told) as port, client(port) as asking, trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        assert len((await asking.get("/nodes")).json()) == len(NODES)
        nursery.cancel_scope.cancel()
    assert len(brought) > len(NODES)
    assert {most for most, _ in brought} == {0, 1}, "nothing is left to the answer itself"
    assert brought[-1][1] - brought[0][1] >= len(NODES) // 2, "others had their turns"


async def test_contracts_and_twins_are_read_now_and_then() -> None:
    ledger, now = Ledger(), NOW
    async with served(facts(ledger, now_ms=lambda: now)) as port, client(port) as asking:
        for _ in range(3):
            assert len((await asking.get("/contracts")).json()) == len(ESCROWS)
        ledger.all += [escrow(1 + number % 250) for number in range(2 * LEDGER_SLICE)]
        told = await asking.get("/contracts?ret_count=true&size=1")
        assert (ledger.reads, told.headers["count"]) == (1, str(len(ESCROWS)))
        now = TimestampMs(NOW + LEDGER_FRESH_MS)
        told = await asking.get("/contracts?ret_count=true&size=1")
        assert (ledger.reads, told.headers["count"]) == (2, str(len(ledger.all)))
        assert (await asking.get("/stats")).json()["contracts"] == len(ledger.all)
        twins = {one["publicKey"] for one in (await asking.get("/twins")).json()}
        assert {node_of(50).hex(), node_of(1).hex()} <= twins


async def test_stopping_waits_for_nobody() -> None:
    listening = listen_on("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        port = await nursery.start(GridProxyService(facts(Ledger()), listening).run)
        stream = await connected(port)
        nursery.cancel_scope.cancel()
    with trio.fail_after(SECONDS_MAX):
        async with stream:
            assert await all_of(stream) == b""


async def test_a_full_node_answers_what_it_knows(tmp_path: Path) -> None:
    async with open_grid(tmp_path) as grid, trio.open_nursery() as nursery:
        port = await nursery.start(serve_gridproxy, grid.node.services, "127.0.0.1:0")
        async with client(port) as asking:
            (node,) = (await asking.get("/nodes")).json()
            assert (node["id"], node["features"]) == (grid.node.identity, ["container"])
            keys = {one["publicKey"] for one in (await asking.get("/twins")).json()}
            assert {grid.node.identity, account(CONSUMER)} <= keys
            assert (await asking.get("/health")).json()["total_state_ok"] is True
            assert (await asking.get("/contracts")).json() == []
        nursery.cancel_scope.cancel()


def test_a_port_that_is_taken_is_told() -> None:
    with (
        closing(listen_on("127.0.0.1", 0)) as listening,
        pytest.raises(Unusable, match="something else listens there"),
    ):
        listen_on("127.0.0.1", listening.getsockname()[1])
    with pytest.raises(Unusable, match=r"cannot answer HTTP on \[2001:db8::1\]:80"):
        listen_on("2001:db8::1", 80)
