"""What was reserved is shown, followed to its very end, and ended only when that was meant."""

import errno
import json
from typing import Any

import pytest

from p2pgrid.cli import reservations as module
from p2pgrid.cli.reservations import reservations
from p2pgrid.errors import NotFound, Refused
from p2pgrid.units import TFT
from tests.cli.node import FakeClient, run

IDENTITY = "91ab" * 16
ONE: dict[str, Any] = {
    "reservation": IDENTITY,
    "phase": "running",
    "detail": "",
    "node": "3f9c" * 16,
    "workloads": ["web", "db"],
    "addresses": ["fd00::1", "fd00::2"],
    "exit_code": None,
    "escrow": "00" * 32,
    "price_per_hour": TFT // 3,
    "deposit": 2 * TFT,
    "ends": "2027-01-17T02:35:53Z",
    "paid": None,
    "refunded": None,
}
PATH = "/reservations/91ab"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_POLL_SECONDS", 0)


def test_the_list_is_for_people_or_programs() -> None:
    client = FakeClient({"/reservations": [ONE, {**ONE, "addresses": []}]})

    people = run(reservations, "list", client=client).stdout.splitlines()
    assert people[0].startswith("RESERVATION")
    assert "91ab91ab91ab91ab  running  3f9c3f9c  web,db" in people[1]
    assert "0.3333333" in people[1]
    programs = run(reservations, "list", "--json", client=client).stdout.splitlines()
    assert json.loads(programs[0]) == ONE


def test_nothing_reserved_leads_on() -> None:
    client = FakeClient({"/reservations": []})

    assert "p2pgrid run" in run(reservations, "list", client=client).stdout
    assert "reserved here" in run(reservations, "list", "--hosted", client=client).stdout
    assert client.calls == [("/reservations", {"hosted": None}), ("/reservations", {"hosted": "1"})]


def test_one_is_shown_with_amounts_in_tft() -> None:
    ended = {**ONE, "phase": "ended", "detail": "it left", "paid": 1, "refunded": 2 * TFT - 1}
    ended["exit_code"] = 3

    text = run(reservations, "show", "91ab", client=FakeClient({PATH: ended})).stdout

    assert "ended: it left" in text
    assert "0.0000001 TFT" in text
    assert "1.9999999 TFT" in text
    assert "exit code    3" in text
    assert "             fd00::2" in text


class Container:
    """A workload that writes more while it is followed."""

    def __init__(self, *steps: tuple[bytes, str]) -> None:
        self.steps = list(steps)
        self.log, self.phase = self.steps.pop(0)

    def ask_phase(self) -> dict[str, str]:
        """The phase now; then something happens, before the log is read."""
        phase = self.phase
        if self.steps:
            more, self.phase = self.steps.pop(0)
            self.log += more
        return {"phase": phase}


class Following(FakeClient):
    """Answers from a container."""

    def __init__(self, container: Container) -> None:
        super().__init__()
        self.container = container

    def get(self, path: str, **query: Any) -> Any:
        return self.container.ask_phase()

    def read(self, path: str, **query: Any) -> tuple[bytes, int]:
        log = self.container.log
        return log[query["offset"] :], len(log)


def test_logs_are_printed_as_they_are() -> None:
    client = FakeClient({f"{PATH}/logs": b"\x00\xff raw\n"})

    result = run(reservations, "logs", "91ab", "--name", "web", client=client)

    assert result.stdout_bytes == b"\x00\xff raw\n"
    assert client.calls[0] == (f"{PATH}/logs", {"name": "web", "offset": 0})


def test_following_prints_everything_once_to_the_last_line() -> None:
    """What it wrote between the last look and its end counts too."""
    container = Container((b"one\n", "running"), (b"two\n", "running"), (b"bye\n", "ended"))

    result = run(reservations, "logs", "91ab", "-f", client=Following(container))

    assert result.stdout == "one\ntwo\nbye\n"
    assert result.exit_code == 0


def test_ending_asks_first() -> None:
    over = {**ONE, "phase": "ended", "paid": 1, "refunded": 2}
    client = FakeClient({PATH: ONE, f"{PATH}/cancel": over})

    refused = run(reservations, "cancel", "91ab", client=client, typed="n\n")
    assert refused.exit_code == 1
    assert "End web, db on 3f9c3f9c and delete its data?" in refused.stdout
    assert [path for path, _ in client.calls] == [PATH]

    done = run(reservations, "cancel", "91ab", "--yes", client=client)
    assert done.stdout == "ended: paid 0.0000001 TFT, refunded 0.0000002 TFT\n"


def test_without_anybody_to_ask_nothing_is_ended() -> None:
    client = FakeClient({PATH: ONE})

    result = run(reservations, "cancel", "91ab", client=client, typed="")

    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert len(client.calls) == 1


def test_a_deposit_is_reclaimed() -> None:
    client = FakeClient({f"{PATH}/reclaim": {**ONE, "refunded": 2 * TFT}})

    assert run(reservations, "reclaim", "91ab", client=client).stdout == (
        "reclaimed: refunded 2.0000000 TFT\n"
    )
    early = FakeClient({f"{PATH}/reclaim": Refused("reclaim in 60 seconds")})
    result = run(reservations, "reclaim", "91ab", client=early)
    assert result.exit_code == 1
    assert result.stderr == "Error: reclaim in 60 seconds\n"


@pytest.mark.parametrize("command", ["show", "logs", "cancel", "reclaim"])
def test_what_is_not_there_is_one_line(command: str) -> None:
    client = FakeClient()

    result = run(reservations, command, "no such/thing?", client=client)

    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert client.calls[0][0].startswith("/reservations/no%20such%2Fthing%3F")
    assert str(NotFound("nothing at")) in result.stderr


def test_a_reader_of_logs_that_goes_away_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `p2pgrid reservations logs 91ab | head`: click ends it without a word."""

    def fail(*_: object) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(module, "_print_log", fail)
    result = run(reservations, "logs", "91ab", client=FakeClient())

    assert "Broken pipe" not in result.stderr
