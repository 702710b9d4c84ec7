"""Flags and documents become one order; a typing mistake never becomes one that costs money."""

import json
from pathlib import Path
from typing import Any

import pytest

from p2pgrid.cli.reserve import reserve
from p2pgrid.cli.reserve import run as run_command
from p2pgrid.errors import NoFittingNode
from p2pgrid.limits.reservation import DOCUMENT_BYTES_MAX
from p2pgrid.reservation.document import read_document
from p2pgrid.units import GIB, MIB, TFT
from tests.cli.node import FakeClient, run
from tests.cli.test_reservations import ONE

FIT = {
    "node": "3f9c" * 16, "farm": "aa" * 32, "farm_name": "", "price_per_hour": TFT, "deposit": TFT,
}  # fmt: skip
STRANGER = {"publisher": "5d1c" * 16, "names": 3, "newest_age_ms": 7_200_000}
MISFIT = {"node": "77ab" * 16, "reason": "only 1 cores left"}


MADE = {**ONE, "unknown_publishers": []}


def node(answer: Any = MADE) -> FakeClient:
    return FakeClient({"/reservations": answer, "/reservations/candidates": answer})


def ordered(*words: str) -> dict[str, Any]:
    """What `run` asks the node for."""
    client = node()
    result = run(run_command, *words, client=client)
    assert result.exit_code == 0, result.output
    ((path, body),) = client.calls
    assert path == "/reservations"
    return body


def test_the_least_that_can_be_said_is_a_whole_order() -> None:
    document = read_document(ordered("3f9c/web:1")["document"])

    (one,) = document.containers
    assert (one.image_text, one.container.name) == ("3f9c/web:1", "main")
    assert (one.container.millicores, one.container.memory_bytes) == (1000, 512 * MIB)
    assert one.container.root_bytes == GIB
    assert document.duration_seconds == 3600


def test_everything_that_can_be_said_is_in_the_order() -> None:
    body = ordered(
        "3f9c/web:1", "--name", "web", "--cores", "0.5", "--memory", "256M", "--disk", "2G",
        "--env", "A=b=c", "--env", "D=", "--port", "8080", "--port", "53/udp",
        "--restart", "on-failure", "--duration", "2h", "--price-max", "1.5", "--node", "3f9c",
        "--except-farm", "Acme", "--", "sh", "-c", "echo --memory",
    )  # fmt: skip

    document = read_document(body.pop("document"))
    container = document.containers[0].container
    assert container.command == ("sh", "-c", "echo --memory")
    assert container.env == (("A", "b=c"), ("D", ""))
    assert [(port.number, port.protocol.name) for port in container.ports] == [
        (8080, "TCP"), (53, "UDP"),
    ]  # fmt: skip
    assert (container.millicores, container.memory_bytes) == (500, 256 * MIB)
    assert document.duration_seconds == 7200
    assert body == {"price_max": 15 * TFT // 10, "node": "3f9c", "except_farms": ("Acme",)}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["web:1", "--memroy", "1G"], "--memory"),
        (["web:1", "sh", "-c", "date"], "-c"),
        (["web:1", "--cores", "nan"], "not a number"),
        (["web:1", "--cores", "0"], "0.01<=x<=1024"),
        (["web:1", "--memory", "1Q"], "512M or 2GiB"),
        (["web:1", "--duration", "2"], "90s, 30m, 12h or 7d"),
        (["web:1", "--env", "A"], "write NAME=VALUE"),
        (["web:1", "--price-max", "1.00000001"], "at most 7 decimals"),
        (["web:1", "--restart", "allways"], "'always'"),
        ([], "Missing argument 'IMAGE'"),
    ],
)
def test_mistakes_are_refused_before_the_node_is_asked(words: list[str], message: str) -> None:
    client = node()

    result = run(run_command, *words, client=client)

    assert result.exit_code == 2
    assert message in result.stderr
    assert client.calls == []


def test_what_runs_is_told_with_its_addresses_and_price() -> None:
    lines = run(run_command, "web:1", client=node()).stdout.splitlines()

    assert lines[0] == "running: reservation 91ab91ab91ab91ab on node 3f9c3f9c"
    assert lines[1:3] == ["web  fd00::1", "db   fd00::2"]
    assert lines[3] == "0.3333333 TFT an hour, 2.0000000 TFT deposited"
    assert "reservations logs|show|cancel 91ab91ab91ab91ab" in lines[4]


def test_a_script_is_told_of_a_publisher_it_has_run_nothing_of() -> None:
    result = run(run_command, "web:1", client=node({**ONE, "unknown_publishers": [STRANGER]}))
    assert result.exit_code == 0
    assert "5d1c5d1c5d1c5d1c" in result.stderr
    assert "5d1c5d1c5d1c5d1c" not in result.stdout


def test_what_ended_at_once_is_not_called_running() -> None:
    """It may have no addresses any more."""
    ended = {**MADE, "phase": "ended", "addresses": [], "exit_code": 3}

    result = run(run_command, "web:1", client=node(ended))

    assert result.exit_code == 0
    assert result.stdout.startswith("ended, exit code 3: reservation 91ab91ab91ab91ab")


def test_a_dry_run_shows_prices_and_why_not() -> None:
    client = node({"fitting": [FIT], "others": [MISFIT], "unknown_publishers": [STRANGER]})

    result = run(run_command, "web:1", "--dry-run", client=client)

    assert result.exit_code == 0
    assert [path for path, _ in client.calls] == ["/reservations/candidates"]
    assert "3f9c3f9c  aaaaaaaa  1.0000000  1.0000000" in result.stdout
    assert "77ab77ab  only 1 cores left" in result.stdout
    assert "run nothing of publisher 5d1c5d1c5d1c5d1c before (3 names, the newest 2 h ago)" in (
        result.stderr
    )


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_dry_run_that_fits_nowhere_fails_for_people_and_programs(options: list[str]) -> None:
    found = {"fitting": [], "others": [MISFIT], "unknown_publishers": []}

    result = run(run_command, "web:1", "--dry-run", *options, client=node(found))

    assert result.exit_code == 1
    assert "no node fits" in result.stderr
    if options:
        assert json.loads(result.stdout) == found


def test_a_refusal_is_one_line() -> None:
    result = run(run_command, "web:1", client=node(NoFittingNode("no node took it")))

    assert result.exit_code == 1
    assert result.stderr == "Error: no node took it\n"


def test_a_document_is_sent_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "web.toml").write_text("# é\n")
    client = node()

    result = run(reserve, str(tmp_path / "web.toml"), "--node", "3f9c", client=client)

    assert result.exit_code == 0
    ((_, body),) = client.calls
    assert (body["toml"], body["node"]) == ("# é\n", "3f9c")


def test_a_document_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "web.toml").write_bytes(b"\xff\xfe")

    result = run(reserve, str(tmp_path / "web.toml"))

    assert result.exit_code == 2
    assert "is not a text in UTF-8" in result.stderr


def test_no_more_of_a_document_is_read_than_may_be() -> None:
    client = node()

    assert run(reserve, "/dev/zero", client=client).exit_code == 0

    ((_, body),) = client.calls
    assert len(body["toml"]) == DOCUMENT_BYTES_MAX + 1


def test_a_missing_document_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "web.toml").write_text("")

    result = run(reserve, str(tmp_path / "wbe.toml"))

    assert result.exit_code == 2
    assert "web.toml" in result.stderr
