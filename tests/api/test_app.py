"""Client and server of the control API, tested against each other over a real socket."""

import http.client
import json
import os
import socket
import stat
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pgrid import errors
from p2pgrid.api.app import SOCKET_NAME, make_app, serve_control
from p2pgrid.cli import client as cli_client
from p2pgrid.errors import BadInput, GridError, NotFound, Unreachable
from p2pgrid.limits.control import CONTROL_BODY_BYTES_MAX
from tests.api.grid import ApiGrid, Member, account, eventually, in_thread, open_grid

POSTS = (
    "/farms", "/payments", "/flists", "/flists/names", "/reservations",
    "/reservations/candidates",
)  # fmt: skip
GETS = (
    "/status", "/peers", "/nodes", "/farms", "/wallets", "/ledger", "/ledger/evidence",
    "/ledger/epochs", "/ledger/witnesses", "/flists",
    "/reservations", "/accounts/node", "/accounts/node/history",
)  # fmt: skip
ABSURD: list[Any] = [
    None, True, -1, 0, 2**63, 10**400, 1.5, 1e308, "", " ", "x" * 10_000, "../..", "a\0b",
    "\x1b[2J", "\u202e", [], [None], ["a", 1], [[]], {}, {"a": 1},
]  # fmt: skip
NAMES = (
    "", " ", "/", "a/b", "//", ".", "..", "../status", "a?b=c", "a#b", "a%2fb", "%", "a b", "a+b",
    "é", "日本", "\0", "\n", "\x1b[2J", "\u202e", "a" * 2000, "zz/history", "zz/logs", "'\"<>&",
)  # fmt: skip
ALL_ERRORS = [
    cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, GridError)
]


async def raw(member: Member, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of the answer to a request that our client would not make."""

    def ask() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("node", timeout=20)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(member.client.socket_path))
        connection.request(method, target, body)
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    return await in_thread(ask)


def refusal_in(answer: bytes) -> dict[str, str]:
    """The one error in an answer, which fits on a line."""
    document = json.loads(answer.splitlines()[-1])
    assert set(document) == {"error", "message"}, document
    assert "\n" not in document["message"]
    return dict(document)


async def test_both_sides_look_in_the_same_place(grid: ApiGrid) -> None:
    assert cli_client.SOCKET_NAME == SOCKET_NAME
    assert (grid.node.services.data / SOCKET_NAME).is_socket()


async def test_the_socket_is_for_its_owner_only(grid: ApiGrid) -> None:
    path = grid.node.client.socket_path
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IRUSR | stat.S_IWUSR


async def test_a_stopped_node_leaves_no_socket(tmp_path: Path) -> None:
    async with open_grid(tmp_path) as grid:
        node = grid.node
        assert (await node.get("/status"))["node"] == node.identity

    assert not node.client.socket_path.exists()
    with pytest.raises(Unreachable, match="start one"):
        await node.get("/status")


async def test_a_path_that_is_too_long_is_said_on_both_sides(grid: ApiGrid) -> None:
    import dataclasses

    deep = grid.node.services.data / ("x" * 100)
    with pytest.raises(BadInput, match="shorter data directory"):
        await serve_control(dataclasses.replace(grid.node.services, data=deep))
    with pytest.raises(BadInput, match="shorter data directory"):
        await in_thread(partial(cli_client.NodeClient(deep).get, "/status"))


@pytest.mark.parametrize("cls", ALL_ERRORS)
async def test_every_error_arrives_as_its_class(
    grid: ApiGrid, cls: type[GridError], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise cls("what is wrong")

    monkeypatch.setattr(type(grid.node.services.ledger), "status", fail)
    with pytest.raises(GridError, match="what is wrong") as caught:
        await grid.node.get("/ledger")

    # Records that cannot be come from what the client wants: to him it is bad input.
    assert type(caught.value) is (BadInput if cls is errors.InvalidRecord else cls)


async def test_a_fault_of_the_node_is_told_in_a_line_and_logged_in_full(
    grid: ApiGrid, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise ValueError("a fault")

    monkeypatch.setattr(type(grid.node.services.ledger), "status", fail)
    with pytest.raises(GridError, match="its log says how") as caught:
        await grid.node.get("/ledger")

    assert type(caught.value) is GridError
    assert "a fault" in caplog.text
    assert (await grid.node.get("/status"))["node"] == grid.node.identity


@pytest.mark.parametrize("target", GETS)
async def test_every_question_is_answered_on_both_kinds_of_nodes(
    grid: ApiGrid, target: str
) -> None:
    for member in (grid.node, grid.consumer):
        status, answer = await raw(member, "GET", target)
        assert status == 200, answer
        assert json.loads(answer) is not None


async def test_bodies_that_are_no_objects_are_refused_everywhere(grid: ApiGrid) -> None:
    bodies = [
        b"{", b"[]", b"null", b'"text"', b"\xff", b'{"a": NaN}', b"[" * 60_000,
        b'{"surprise": 1}', b"x" * (CONTROL_BODY_BYTES_MAX + 1),
    ]  # fmt: skip
    for target in POSTS:
        for body in bodies:
            status, answer = await raw(grid.node, "POST", target, body)
            assert status == 400, (target, body[:20], answer)
            assert refusal_in(answer)["error"] == "BadInput"


FIELDS: dict[str, dict[str, Any]] = {
    "/farms": {"name": "Acme", "payout": None, "price_percent": 100, "members": []},
    "/payments": {"account": "node", "amount": 1, "wallet": "node", "memo": ""},
    "/flists": {"source": "dir:/nonexistent", "name": "web:1", "description": ""},
    "/flists/names": {"flist": "00", "name": "web:1", "description": ""},
    "/reservations": {
        "document": {}, "toml": None, "price_max": None, "node": None, "except_farms": [],
    },
    "/reservations/candidates": {
        "document": None, "toml": "x", "price_max": None, "node": None, "except_farms": [],
    },
}  # fmt: skip


@pytest.mark.parametrize("target", POSTS)
async def test_any_field_may_be_absurd(
    grid: ApiGrid, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    for name in FIELDS[target]:
        for value in ABSURD:
            body = json.dumps({**FIELDS[target], name: value}).encode()
            status, answer = await raw(grid.node, "POST", target, body)
            assert status in {200, 400, 404}, (name, value, answer)
            if b'"error"' in answer:
                assert refusal_in(answer)["message"]
    assert (await grid.node.get("/status"))["node"] == grid.node.identity
    assert "Traceback" not in caplog.text


async def test_missing_fields_are_named(grid: ApiGrid) -> None:
    needed = {
        "/farms": "name", "/payments": "account", "/flists": "source", "/flists/names": "flist",
    }  # fmt: skip
    for target, name in needed.items():
        with pytest.raises(BadInput, match=f"lacks '{name}'"):
            await grid.node.post(target, {})
    with pytest.raises(BadInput, match="needs a document"):
        await grid.consumer.messages("/reservations", {})


async def test_whatever_a_person_calls_a_thing_it_is_one_clear_answer(grid: ApiGrid) -> None:
    for name in NAMES:
        for what in ("nodes", "farms", "accounts", "flists", "reservations"):
            with pytest.raises((BadInput, NotFound)) as caught:
                await grid.node.get(f"/{what}/{cli_client.segment(name)}")
            assert "knows no GET" not in str(caught.value), name


@pytest.mark.parametrize(
    "query",
    ["limit=abc", "limit=-1", "limit=1&limit=2", "limit=1e3", "limit=99999999999", "limt=1"],
)
async def test_queries_that_make_no_sense_are_refused(grid: ApiGrid, query: str) -> None:
    for target in ("/nodes", "/accounts/node/history", "/flists"):
        status, answer = await raw(grid.node, "GET", f"{target}?{query}")
        assert status == 400, (target, answer)
        assert refusal_in(answer)["error"] == "BadInput"


async def test_routes_that_are_not_there_say_so(grid: ApiGrid) -> None:
    for method, target in [
        ("GET", "/"), ("GET", "/nodez"), ("DELETE", "/nodes"), ("POST", "/status"),
        ("GET", "/status/"), ("GET", "//status"), ("PUT", "/payments"),
    ]:  # fmt: skip
        status, answer = await raw(grid.node, method, target)
        assert status in {404, 405}, target
        assert refusal_in(answer)["error"] == "NotFound"


async def test_a_client_that_hangs_up_ends_nothing_but_itself(grid: ApiGrid) -> None:
    tree = grid.node.services.data / "tree"
    tree.mkdir()
    for number in range(50):
        (tree / str(number)).write_bytes(os.urandom(10_000))
    body = json.dumps({"source": f"dir:{tree}", "name": "web:1"}).encode()
    head = f"POST /flists HTTP/1.1\r\nHost: node\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    async with await trio.open_unix_socket(str(grid.node.client.socket_path)) as stream:
        await stream.send_all(head + body)
        await stream.receive_some()

    await eventually(lambda: grid.node.get("/flists"))
    assert (await grid.consumer.get("/flists"))[0]["title"] == "web"


async def test_many_clients_at_once_are_served(grid: ApiGrid) -> None:
    answers = []

    async def ask() -> None:
        answers.append(await grid.node.get(f"/accounts/{account('consumer')}"))

    async with trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(ask)

    assert len(answers) == 30


def test_every_path_is_routed_once(grid_routes: list[tuple[str, str]]) -> None:
    assert len(grid_routes) == len(set(grid_routes))


@pytest.fixture
def grid_routes() -> list[tuple[str, str]]:
    app = make_app(None)  # type: ignore[arg-type] # routes look at services when they are called
    return [
        (method, getattr(route, "path", ""))
        for route in app.routes
        for method in getattr(route, "methods", ())
    ]
