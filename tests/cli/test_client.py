"""The client tells what a node says, and says in one line what it does not say."""

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid import errors
from p2pgrid.cli.client import NodeClient, segment
from p2pgrid.errors import BadInput, GridError, InsufficientBalance, Unreachable


@contextmanager
def answering(data: Path, answer: bytes) -> Iterator[list[bytes]]:
    """Something at the control socket that gives one answer, whatever is asked."""
    heard: list[bytes] = []
    with closing(socket.socket(socket.AF_UNIX)) as listening:
        listening.bind(str(data / "control.sock"))
        listening.listen()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                heard.append(_whole_request(connection))
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield heard
        thread.join()


def _whole_request(connection: socket.socket) -> bytes:
    """Head and body; hanging up with a part unread would reset the connection."""
    request = b""
    while True:
        request += connection.recv(65536)
        head, blank, body = request.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        if blank and len(body) >= int(length[1] if length else 0):
            return request


def answer(body: bytes, status: str = "200 OK", *, length: int | None = None) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n"
    return head.encode() + body


def test_raw_bytes_are_posted_for(tmp_path: Path) -> None:
    with answering(tmp_path, answer(b"\x00\xff")) as heard:
        assert NodeClient(tmp_path).read_posted("/flists/blobs", {"a": 1}) == b"\x00\xff"

    assert heard[0].startswith(b"POST /flists/blobs ")
    assert heard[0].endswith(b'{"a": 1}')
    cut = answer(b"x", length=2)
    (tmp_path / "control.sock").unlink()
    with answering(tmp_path, cut), pytest.raises(Unreachable):
        NodeClient(tmp_path).read_posted("/flists/blobs", {})


def chunked(*lines: bytes, is_whole: bool = True) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(line), line) for line in lines)
    return head + chunks + (b"0\r\n\r\n" if is_whole else b"")


def test_no_node_means_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=f"p2pgrid --data {tmp_path} node run"):
        NodeClient(tmp_path).get("/status")


def test_the_socket_of_a_killed_node_is_no_node(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as left:
        left.bind(str(tmp_path / "control.sock"))

    with pytest.raises(Unreachable, match=r"Connection refused.*start one"):
        NodeClient(tmp_path).get("/status")


@pytest.mark.parametrize("length", [80, 200])
def test_a_path_that_is_too_long_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(BadInput, match="shorter data directory"):
        NodeClient(tmp_path / ("é" * length)).get("/status")


def test_what_is_asked_is_sent(tmp_path: Path) -> None:
    with answering(tmp_path, answer(b"[1]")) as heard:
        assert NodeClient(tmp_path).get("/nodes", limit=0, sort=None, f=("a", "b"), x="") == [1]
    assert heard[0].startswith(b"GET /nodes?limit=0&f=a&f=b HTTP/1.1\r\n")


def test_bodies_are_json(tmp_path: Path) -> None:
    with answering(tmp_path, answer(b"{}")) as heard:
        NodeClient(tmp_path).post("/payments", {"memo": "é"})
    assert json.loads(heard[0].partition(b"\r\n\r\n")[2]) == {"memo": "é"}


@pytest.mark.parametrize("name", [one for one in vars(errors) if not one.startswith("_")])
def test_errors_are_raised_as_their_class(tmp_path: Path, name: str) -> None:
    body = json.dumps({"error": name, "message": "what is wrong"}).encode()
    with (
        answering(tmp_path, answer(body, "400 Bad Request")),
        pytest.raises(GridError, match="what is wrong") as caught,
    ):
        NodeClient(tmp_path).get("/x")
    assert type(caught.value) is getattr(errors, name)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": "SystemExit", "message": "no"}', "no"),
        (b'{"error": "GridError"}', "without a reason"),
        (b'{"error": 5, "message": ["no"]}', "no"),
        (b"[]", r"\[\]"),
        (b"Not Found", "Not Found"),
        (b"x" * 9000, "^x{500}$"),
        (b"", "without a reason"),
        (b"\xff", "\ufffd"),
    ],
)
def test_errors_that_are_none_of_ours_are_told_too(
    tmp_path: Path, body: bytes, message: str
) -> None:
    with (
        answering(tmp_path, answer(body, "500 Oops")),
        pytest.raises(GridError, match=message) as caught,
    ):
        NodeClient(tmp_path).get("/x")
    assert type(caught.value) is GridError


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: zzz\r\n\r\n",
        answer(b"{"),
        answer(b""),
        answer(b"\xff"),
        answer(b"[1, 2", length=100),
        answer(b"[1, 2", "400 No", length=100),
    ],
)
def test_an_answer_that_is_cut_off_is_no_answer(tmp_path: Path, said: bytes) -> None:
    with (
        answering(tmp_path, said),
        pytest.raises(Unreachable, match=r"stopped answering .*node\.log"),
    ):
        NodeClient(tmp_path).get("/x")


def test_lines_come_as_they_are_said(tmp_path: Path) -> None:
    with answering(tmp_path, chunked(b'{"progress": 1}\n', b'{"result": 2}\n')):
        lines = list(NodeClient(tmp_path).stream("/x", {}))
    assert lines == [{"progress": 1}, {"result": 2}]


def test_an_error_among_the_lines_is_raised(tmp_path: Path) -> None:
    said = chunked(b'{"progress": 1}\n', b'{"error": "InsufficientBalance", "message": "poor"}\n')
    with answering(tmp_path, said):
        lines = NodeClient(tmp_path).stream("/x", {})
        assert next(lines) == {"progress": 1}
        with pytest.raises(InsufficientBalance, match="poor"):
            next(lines)


def test_a_line_that_is_cut_off_is_no_answer(tmp_path: Path) -> None:
    with (
        answering(tmp_path, chunked(b'{"progress": 1}\n', b'{"resu', is_whole=False)),
        pytest.raises(Unreachable, match="stopped answering"),
    ):
        list(NodeClient(tmp_path).stream("/x", {}))


def test_raw_bytes_come_with_their_offset(tmp_path: Path) -> None:
    said = b"HTTP/1.1 200 OK\r\nX-Next-Offset: 7\r\nContent-Length: 3\r\n\r\n\x00\xff\n"
    with answering(tmp_path, said):
        assert NodeClient(tmp_path).read("/logs", offset=4) == (b"\x00\xff\n", 7)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_name_is_one_segment_of_a_path_and_nothing_else(name: str) -> None:
    made = segment(name)

    assert unquote(made) == name
    assert made.isascii()
    assert not set(made) & set("/?#& \r\n")


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(BadInput, match="not UTF-8"):
        segment("\udcff")
