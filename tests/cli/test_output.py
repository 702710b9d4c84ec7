"""People get aligned lines that steer no terminal; programs get one object a line."""

import errno
import io
import json
from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.cli.output import (
    age,
    bar_shown,
    confirm,
    errors_shown,
    follow,
    plain,
    print_fields,
    print_json,
    print_table,
    progress_text,
)
from p2pgrid.errors import BadInput, GridError, NotFound, PeerError, Unreachable

HOSTILE = "\x1b[2J\x9b31m\u202eevil\u2066\r\n\t\0\x7f\ufeff\u2028"


def printed(do: Callable[[], None], *, typed: str | None = None) -> Result:
    """What it prints, and how it ends."""

    @click.command()
    def command() -> None:
        do()

    return CliRunner().invoke(command, input=typed)


@given(st.text())
def test_nothing_plain_steers_a_terminal(text: str) -> None:
    assert plain(text).isprintable()
    assert len(plain(text)) == len(text)
    assert not text.isprintable() or plain(text) == text


def test_what_strangers_write_is_made_plain_everywhere() -> None:
    for do in (
        lambda: print_table([{"name": HOSTILE}], empty=""),
        lambda: print_fields({"name": HOSTILE, "list": [HOSTILE]}),
        lambda: print_json({"name": HOSTILE}),
    ):
        output = printed(do).stdout
        assert all(line.isprintable() for line in output.split("\n"))
        assert "evil" in output


def test_errors_are_one_line() -> None:
    def fail() -> None:
        with errors_shown():
            raise NotFound(f"there is no {HOSTILE}")

    result = printed(fail)

    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: there is no")
    assert line.isprintable()


@pytest.mark.parametrize(
    ("error", "status"),
    [(GridError("x"), 1), (NotFound("x"), 1), (PeerError("x"), 1), (BadInput("x"), 2),
     (Unreachable("x"), 3)],
)  # fmt: skip
def test_the_kind_of_error_is_the_exit_status(error: GridError, status: int) -> None:
    def fail() -> None:
        with errors_shown():
            raise error

    result = printed(fail)

    assert result.exit_code == status
    assert result.stdout == ""
    assert "Error: x" in result.stderr


def test_what_the_system_refuses_is_one_line_too() -> None:
    def fail() -> None:
        with errors_shown():
            raise PermissionError(errno.EACCES, "Permission denied", "/root/x")

    result = printed(fail)

    assert result.exit_code == 1
    assert result.stderr == "Error: /root/x: Permission denied\n"


def test_tables_are_aligned() -> None:
    rows = [
        {"name": "a", "tft": "1.0000000", "farm": "x"},
        {"name": "long name", "tft": "1000.0000000", "farm": ""},
        {"name": "日本", "tft": "-1.0000000", "farm": "x"},
        {"name": "e\u0301te\u0301", "tft": "0.0000001", "farm": "x"},
    ]

    output = printed(lambda: print_table(rows, empty="", right={"tft"})).stdout

    assert output.splitlines() == [
        "NAME                TFT  FARM",
        "a             1.0000000  x",
        "long name  1000.0000000",
        "日本         -1.0000000  x",
        "e\u0301te\u0301           0.0000001  x",
    ]


def test_a_table_without_rows_says_so() -> None:
    assert printed(lambda: print_table([], empty="nothing yet")).stdout == "nothing yet\n"


def test_fields_are_aligned_and_lists_go_on_below() -> None:
    fields = {"id": "ab", "addresses": ["/ip4/a", "/ip4/b"], "none": []}

    assert printed(lambda: print_fields(fields)).stdout.splitlines() == [
        "id         ab",
        "addresses  /ip4/a",
        "           /ip4/b",
        "none       none",
    ]


def test_json_is_one_object_a_line_in_ascii() -> None:
    values = [{"name": "é日\u2028\x9b"}, {"amount": 2**63}]

    output = printed(lambda: print_json(*values)).stdout

    assert [json.loads(line) for line in output.splitlines()] == values
    assert output.isascii()


def test_yes_asks_nothing() -> None:
    assert printed(lambda: confirm("Really?", yes=True)).output == ""


@pytest.mark.parametrize(
    ("typed", "status", "message"),
    [
        ("y\n", 0, ""),
        ("n\n", 1, "nothing was done"),
        ("\n", 1, "nothing was done"),
        ("", 2, "--yes"),
    ],
)
def test_what_cannot_be_taken_back_is_asked(typed: str, status: int, message: str) -> None:
    result = printed(lambda: confirm("Really?", yes=False), typed=typed)

    assert result.exit_code == status
    assert "Really?" in result.stdout
    assert message in result.stderr


MESSAGES: list[dict[str, Any]] = [
    {"progress": {"phase": "asking nodes", "done": 1, "total": 3}},
    {"progress": {"phase": "fetch", "done": 1024, "total": 4096}},
    {"progress": {"phase": "paying", "done": 0, "total": 0}},
    {"result": {"id": "ab"}},
]


def followed(messages: Any, *, as_json: bool = False) -> tuple[Any, Result]:
    found = []
    result = printed(
        lambda: found.append(follow(iter(messages), as_json=as_json, afterwards="p2pgrid x list"))
    )
    return (found[0] if found else None), result


def test_without_a_terminal_only_the_result_counts() -> None:
    for as_json in (True, False):
        found, result = followed(MESSAGES, as_json=as_json)
        assert found == {"id": "ab"}
        assert result.output == ""


class Terminal(io.StringIO):
    """Something that looks like a terminal."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_progress_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)

    assert follow(iter(MESSAGES), as_json=False, afterwards="") == {"id": "ab"}

    assert "asking nodes" in terminal.getvalue()


@pytest.mark.parametrize(("as_json", "is_shown"), [(False, True), (True, False)])
def test_work_of_the_command_itself_is_shown_likewise(
    monkeypatch: pytest.MonkeyPatch, as_json: bool, is_shown: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)

    with bar_shown("extract", as_json=as_json) as on_bytes:
        on_bytes(1024, 4096)

    assert ("1 KiB of 4 KiB" in terminal.getvalue()) == is_shown


@pytest.mark.parametrize(
    ("phase", "done", "total", "text"),
    [
        ("asking nodes", 1, 3, "1 of 3"),
        ("fetch", 1024, 4096, "1 KiB of 4 KiB"),
        ("paying", 0, 0, ""),
    ],
)
def test_progress_is_counted_in_what_it_is_made_of(
    phase: str, done: int, total: int, text: str
) -> None:
    assert progress_text({"phase": phase, "done": done, "total": total}) == text


def test_an_answer_without_a_result_is_no_answer() -> None:
    def follow_cut() -> None:
        with errors_shown():
            follow(iter(MESSAGES[:2]), as_json=True, afterwards="")

    result = printed(follow_cut)

    assert result.exit_code == 3
    assert "ended before it answered" in result.stderr


def test_who_stops_watching_hears_where_to_look() -> None:
    def messages() -> Any:
        yield MESSAGES[0]
        raise KeyboardInterrupt

    _, result = followed(messages())

    assert result.exit_code == 1
    assert "the node goes on with it; see: p2pgrid x list" in result.stderr


@given(st.integers())
def test_any_age_is_short(milliseconds: int) -> None:
    number, unit = age(milliseconds).split()

    assert int(number) >= 0
    assert unit in {"s", "min", "h", "d"}
