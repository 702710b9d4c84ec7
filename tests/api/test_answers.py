"""Answers carry errors to whoever asked: the class, the message, and never a traceback."""

import json
import logging
from typing import Any

import pytest
import trio
from starlette.exceptions import HTTPException
from starlette.requests import Request
from trio.testing import MockClock

from p2pgrid import errors
from p2pgrid.api.answers import (
    OnProgress,
    ProgressAnswer,
    error_answer,
    error_document,
    fault_answer,
    json_answer,
    no_such_route,
)
from p2pgrid.errors import BadInput, GridError, InvalidRecord, NotFound, Refused, Unreachable
from p2pgrid.limits.reservation import PROGRESS_SECONDS

ALL_ERRORS = [
    cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, GridError)
]


def request(path: str = "/x") -> Request:
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    return Request({**scope, "server": ("node", 80), "scheme": "http"})


def body_of(answer: Any) -> Any:
    return json.loads(answer.body)


async def lines_of(answer: ProgressAnswer) -> list[dict[str, Any]]:
    """What a client gets to read."""
    sent = bytearray()

    async def send(message: Any) -> None:
        sent.extend(message.get("body", b""))

    async def receive() -> Any:
        raise AssertionError("the body was read before")

    await answer(request().scope, receive, send)
    return [json.loads(line) for line in sent.splitlines()]


@pytest.mark.parametrize("cls", ALL_ERRORS)
def test_every_error_is_told_by_class_and_message(cls: type[GridError]) -> None:
    told = error_document(cls("what is wrong"))

    # A record that cannot be was made of what the client wants.
    expected = BadInput if issubclass(cls, InvalidRecord) else cls
    assert told == {"error": expected.__name__, "message": "what is wrong"}


@pytest.mark.parametrize(
    ("error", "status"),
    [(NotFound("x"), 404), (Unreachable("x"), 504), (Refused("x"), 400), (BadInput("x"), 400)],
)
def test_the_status_is_the_one_that_http_has_for_it(error: GridError, status: int) -> None:
    assert error_answer(request(), error).status_code == status


def test_records_are_answered_as_json() -> None:
    assert body_of(json_answer({"id": b"\x01"})) == {"id": "01"}


def test_a_missing_route_says_what_may_be_the_matter() -> None:
    answer = no_such_route(request("/" + "x" * 500), HTTPException(405))

    assert answer.status_code == 405
    assert body_of(answer)["error"] == "NotFound"
    assert "same version" in body_of(answer)["message"]
    assert len(body_of(answer)["message"]) < 200


def test_a_fault_of_ours_is_logged_in_full_and_told_in_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = fault_answer(request(), RuntimeError("secret"))

    assert answer.status_code == 500
    assert body_of(answer)["error"] == "GridError"
    assert "secret" not in body_of(answer)["message"]
    assert "secret" in str(caplog.records[0].exc_info)


async def test_progress_comes_before_the_result(autojump_clock: MockClock) -> None:
    async def work(on_progress: OnProgress) -> object:
        for done in range(3):
            on_progress("convert", done, 3)
            await trio.sleep(2 * PROGRESS_SECONDS)
        return {"id": b"\xff"}

    *progress, last = await lines_of(ProgressAnswer(work))

    assert last == {"result": {"id": "ff"}}
    assert [one["progress"]["done"] for one in progress] == [0, 1, 2]
    assert progress[0]["progress"] == {"phase": "convert", "done": 0, "total": 3}


async def test_a_storm_of_progress_is_thinned_out(autojump_clock: MockClock) -> None:
    async def work(on_progress: OnProgress) -> object:
        for done in range(10_000):
            on_progress("convert", done, 10_000)
        await trio.sleep(PROGRESS_SECONDS)
        return None

    lines = await lines_of(ProgressAnswer(work))

    assert len(lines) <= 3
    assert lines[0]["progress"]["done"] == 9_999


async def test_an_error_is_the_last_line(autojump_clock: MockClock) -> None:
    async def work(on_progress: OnProgress) -> object:
        on_progress("paying", 0, 0)
        await trio.sleep(1)
        raise Refused("no")

    lines = await lines_of(ProgressAnswer(work))

    assert lines[-1] == {"error": "Refused", "message": "no"}


async def test_a_fault_under_way_is_told_too(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(_: OnProgress) -> object:
        await trio.sleep(1)
        raise KeyError("secret")

    with caplog.at_level(logging.ERROR):
        lines = await lines_of(ProgressAnswer(work))

    assert lines == [{"error": "GridError", "message": "the node failed on this; its log says how"}]
    assert "secret" in str(caplog.records[0].exc_info)


async def test_work_goes_on_when_nobody_listens_any_more(
    autojump_clock: MockClock,
) -> None:
    done = []

    async def work(on_progress: OnProgress) -> object:
        for number in range(5):
            on_progress("convert", number, 5)
            await trio.sleep(PROGRESS_SECONDS)
        done.append(True)
        return None

    assert (await lines_of(ProgressAnswer(work)))[-1] == {"result": None}
    assert done
