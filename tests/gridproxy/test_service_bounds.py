"""What strangers make us hold and compute at once has its bounds, however many ask together."""

import socket
import time
from collections import Counter
from dataclasses import replace

import pytest
import trio

from p2pgrid.gridproxy import gpus, service
from p2pgrid.gridproxy.answers import Answer
from p2pgrid.gridproxy.gpus import Gpu, read_gpu
from p2pgrid.gridproxy.places import Budgets
from p2pgrid.limits.gridproxy import HTTP_COST_MS_MIN
from p2pgrid.units import KIB
from tests.explorer.grid import TOTAL, announced
from tests.gridproxy.test_service import (
    SECONDS_MAX,
    SHORT_SECONDS,
    Ledger,
    all_of,
    client,
    facts,
    served,
)
from tests.gridproxy.world import CARDS, view_of


def ask_at_once(port: int, request: bytes, most: int) -> list[socket.socket]:
    """Connections that all ask before the server has a turn."""
    asking = [socket.create_connection(("127.0.0.1", port)) for _ in range(most)]
    for one in asking:
        one.sendall(request)
    return asking


async def status_of(asking: socket.socket) -> bytes:
    """Of an answer; the connection ends with it."""
    asking.setblocking(False)
    async with trio.SocketStream(trio.socket.from_stdlib_socket(asking)) as stream:
        return (await all_of(stream)).split()[1]


async def test_a_burst_is_one_question_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is charged, the making of its bytes included, before the next one is looked at."""
    monkeypatch.setattr(service, "HTTP_REFUSED_SECONDS", 0.0)
    monkeypatch.setattr("p2pgrid.gridproxy.places.HTTP_SITE_MS_PER_SECOND", 0.001)
    costs, charge, body = list[float](), Budgets.charge, Answer.body

    def noted(budgets: Budgets, site: str, cost_ms: float) -> None:
        costs.append(cost_ms)
        charge(budgets, site, cost_ms)

    def slow(told: Answer) -> bytes:
        began = time.thread_time()
        while isinstance(told.document, list) and time.thread_time() - began < SHORT_SECONDS:
            pass
        return body(told)

    monkeypatch.setattr(Budgets, "charge", noted)
    monkeypatch.setattr(Answer, "body", slow)
    monkeypatch.setattr("p2pgrid.gridproxy.places.HTTP_SITE_BURST_MS", 1000 * SHORT_SECONDS)
    async with served() as port:
        ask = b"GET /nodes HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        told = [await status_of(one) for one in ask_at_once(port, ask, 8)]
        assert sorted(told) == [b"200", *[b"429"] * 7]
        assert [cost >= 1000 * SHORT_SECONDS for cost in costs] == [True]


async def test_between_two_answers_others_have_their_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turns, made, body = 0, list[int](), Answer.body

    def noted(told: Answer) -> bytes:
        made.append(turns)
        return body(told)

    monkeypatch.setattr(Answer, "body", noted)
    async with served() as port, trio.open_nursery() as nursery:

        async def take_turns() -> None:
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        nursery.start_soon(take_turns)
        ask = b"GET /nodes HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        told = [await status_of(one) for one in ask_at_once(port, ask, 8)]
        assert told == [b"200"] * 8
        nursery.cancel_scope.cancel()
    assert len(set(made)) == 8


async def test_what_waits_to_be_taken_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not read gets no second page, and small answers are sent whatever waits."""
    monkeypatch.setattr("p2pgrid.gridproxy.places.HTTP_SMALL_BYTES", 200)
    monkeypatch.setattr(service, "HTTP_KERNEL_BYTES", 4096)
    async with served() as port, client(port) as asking:
        size_bytes = len((await asking.get("/nodes")).content)
        monkeypatch.setattr("p2pgrid.gridproxy.places.HTTP_BODY_BYTES_MAX", 2 * size_bytes - 1)
        unconnected = trio.socket.socket()
        unconnected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await unconnected.connect(("127.0.0.1", port))
        async with (deaf := trio.SocketStream(unconnected)):
            with trio.move_on_after(SHORT_SECONDS):
                await deaf.send_all(b"GET /nodes HTTP/1.1\r\nhost: x\r\n\r\n" * 1000)
                await trio.sleep(SECONDS_MAX)
            refused = await asking.get("/nodes")
            assert (refused.status_code, list(refused.json())) == (503, ["error"])
            assert int(refused.headers["retry-after"]) >= 1
            assert (await asking.get("/ping")).status_code == 200
            assert (await asking.head("/nodes")).status_code == 503
        await trio.sleep(SHORT_SECONDS)
        assert (await asking.get("/nodes")).status_code == 200


async def test_an_answer_has_its_size_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "HTTP_BODY_BYTES_MAX", 4 * KIB)
    async with served() as port, client(port) as asking:
        assert (await asking.get("/nodes?size=1")).status_code == 200
        refused = await asking.get("/nodes")
        assert refused.status_code == 400
        assert "smaller size" in refused.json()["error"]


async def test_what_is_no_question_costs_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise connections that ask without end for nothing take the whole CPU."""
    monkeypatch.setattr(service, "HTTP_REFUSED_SECONDS", 0.0)
    monkeypatch.setattr("p2pgrid.gridproxy.places.HTTP_SITE_MS_PER_SECOND", 0.001)
    monkeypatch.setattr("p2pgrid.gridproxy.places.HTTP_SITE_BURST_MS", HTTP_COST_MS_MIN)
    for method, status in {"OPTIONS": 204, "DELETE": 405}.items():
        async with served() as port, client(port) as asking:
            told = [(await asking.request(method, "/nodes")).status_code for _ in range(4)]
            assert told == [status, status, 429, 429]


async def test_gpus_are_read_by_the_slice_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 GPUs of each of 30,000 nodes are read in more than a second."""
    monkeypatch.setattr(service, "GPU_TEXTS_SLICE", 2)
    hardware = [replace(CARDS, gpus=(f"AMD 1002:731f at {number}",)) for number in range(20)]
    view = view_of(
        announced(1 + number, hardware=one, total=replace(TOTAL, gpus=1))
        for number, one in enumerate(hardware)
    )
    turns, read = 0, list[int]()

    def noted(text: str) -> Gpu:
        read.append(turns)
        return read_gpu(text)

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    monkeypatch.setattr(gpus, "read_gpu", noted)
    told = replace(facts(Ledger()), view=lambda: view)
    async with served(told) as port, client(port) as asking, trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        for name in ("%67pu_vendor_id", "gpu_vendor_id"):
            asked = await asking.get(f"/nodes?{name}=1002&ret_count=true&size=1")
            assert asked.headers["count"] == "20"
            assert len(read) == 20
            assert max(Counter(read).values()) <= 4, "two tasks have their turns in any order"
        assert (await asking.get("/nodes?gpu_vendor_id=a")).json() == []
        assert len(read) == 20
        nursery.cancel_scope.cancel()
