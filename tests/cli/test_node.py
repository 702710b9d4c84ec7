"""Settings reach the node as they were given, and its refusals reach whoever started it."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import p2pgrid.node
from p2pgrid import keys
from p2pgrid.cli.node import node
from p2pgrid.config import Config
from p2pgrid.errors import BadInput, DataInUse, GridError, Unreachable
from p2pgrid.net.address import node_of_text
from tests.cli.node import FakeClient, run

STATUS: dict[str, Any] = {
    "node": "3f9c" * 16, "role": "light peer", "grid": "test", "network": "ab" * 16, "farm": "",
    "uptime_ms": 61_000, "peers": [], "addresses": ["/ip4/a", "/ip4/b"],
    "containers": "a light peer runs nothing", "known_nodes": None,
}  # fmt: skip


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Config, Path | None]]]:
    """With what nodes were started, instead of starting any; logging is as before afterwards."""
    calls: list[tuple[Config, Path | None]] = []
    monkeypatch.setattr(p2pgrid.node, "run_node", lambda *words: calls.append(words))
    root, ours = logging.getLogger(), logging.getLogger("p2pgrid")
    handlers, levels = [*root.handlers], (root.level, ours.level)
    yield calls
    for handler in [*root.handlers]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    logging.captureWarnings(capture=False)


def test_options_win_over_the_file(
    tmp_path: Path, started: list[tuple[Config, Path | None]]
) -> None:
    (tmp_path / "node.toml").write_text('share = 0.5\nmdns = false\nlisten = ["/ip4/a"]\n')
    words = ["--share", "0.25", "--light", "--peer", "/ip4/x", "--peer", "/ip4/y"]

    result = run(node, "run", *words, client=FakeClient(data=tmp_path))

    assert result.exit_code == 0, result.stderr
    ((config, grid),) = started
    assert (config.share, config.light, config.mdns) == (0.25, True, False)
    assert (config.listen, config.peers) == (("/ip4/a",), ("/ip4/x", "/ip4/y"))
    assert (config.data, grid) == (tmp_path, None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--share", "nan"], "not a number"),
        (["--share", "2"], "0.01<=x<=1"),
        (["--farm", "abc"], "64 hex digits"),
        (["--peer", "abc"], "not an address"),
        (["--explorer-http", "localhost:80"], "not HOST:PORT"),
        (["--log-level", "loud"], "'debug', 'info'"),
        (["--grid", "/nonexistent/genesis.cbor"], "does not exist"),
        (["--config", "/nonexistent/node.toml"], "does not exist"),
    ],
)
def test_settings_that_make_no_sense_are_wrong_usage(
    tmp_path: Path, started: list[Any], words: list[str], message: str
) -> None:
    result = run(node, "run", *words, client=FakeClient(data=tmp_path))

    assert result.exit_code == 2
    assert message in result.stderr
    assert started == []


@pytest.mark.parametrize("error", [BadInput("which grid?"), DataInUse("in use by 17")])
def test_a_refusal_to_start_is_status_1(
    tmp_path: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch, error: GridError
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(p2pgrid.node, "run_node", refuse)
    result = run(node, "run", client=FakeClient(data=tmp_path))

    assert result.exit_code == 1
    assert result.stderr == f"Error: {error}\n"


def test_a_data_directory_that_cannot_be_is_refused(tmp_path: Path, started: list[Any]) -> None:
    (tmp_path / "file").write_text("")

    result = run(node, "run", client=FakeClient(data=tmp_path / "file" / "data"))

    assert result.exit_code == 1
    assert "cannot be used: Not a directory" in result.stderr


def test_what_is_logged_is_one_line_on_the_screen_and_whole_in_the_file(
    tmp_path: Path,
    started: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def log_a_fault(*_: object) -> None:
        logging.getLogger("p2pgrid.x").error("a part broke", exc_info=KeyError("the cause"))
        logging.getLogger("other").info("not ours to tell")

    monkeypatch.setattr(p2pgrid.node, "run_node", log_a_fault)
    result = run(node, "run", client=FakeClient(data=tmp_path))

    assert "a part broke" in result.stderr
    assert "KeyError" not in result.stderr
    kept = (tmp_path / "node.log").read_text()
    assert "KeyError: 'the cause'" in kept
    assert "not ours" not in kept + result.stderr


def test_the_id_is_the_same_every_time(tmp_path: Path) -> None:
    client = FakeClient(data=tmp_path / "new")

    first = run(node, "id", client=client).stdout.strip()
    again = json.loads(run(node, "id", "--json", client=client).stdout)

    assert again["node"] == first
    assert node_of_text(again["peer"]).hex() == first
    assert first == bytes(keys.open_identity(client.data).verify_key).hex()


def test_status_is_told_without_what_is_not_known() -> None:
    lines = run(node, "status", client=FakeClient({"/status": STATUS})).stdout.splitlines()

    assert "known nodes  -" in lines
    assert "running for  1 min" in lines
    assert "addresses    /ip4/a" in lines
    assert "             /ip4/b" in lines


def test_peers_are_told_with_what_they_are_to_us() -> None:
    peers = [
        {"peer": "ab" * 32, "direction": "outbound", "role": "anchor", "prefix": "192.0.0.0/16",
         "host": "192.0.2.7", "age_ms": 7_200_000, "useful_ms": 5_000, "faults": 0},
        {"peer": "cd" * 32, "direction": "inbound", "role": "", "prefix": "2001:db8::/32",
         "host": "2001:db8::1", "age_ms": 61_000, "useful_ms": None, "faults": 4.5},
    ]  # fmt: skip
    client = FakeClient({"/peers": peers})

    lines = run(node, "peers", client=client).stdout.splitlines()
    assert " ".join(lines[1].split()) == "abababab outbound anchor 192.0.0.0/16 2 h 5 s 0"
    assert " ".join(lines[2].split()) == "cdcdcdcd inbound - 2001:db8::/32 1 min - 4.5"
    as_json = run(node, "peers", "--json", client=client).stdout.splitlines()
    assert [json.loads(line) for line in as_json] == peers
    assert run(node, "peers", client=FakeClient({"/peers": []})).stdout == "no peers yet\n"


def test_a_node_that_does_not_run_is_status_3() -> None:
    result = run(node, "status", client=FakeClient({"/status": Unreachable("no node answers")}))

    assert result.exit_code == 3


def test_capacity_adds_up(tmp_path: Path) -> None:
    client = FakeClient(data=tmp_path)

    text = run(node, "capacity", "--share", "0.5", client=client).stdout
    told = json.loads(run(node, "capacity", "--share", "0.5", "--json", client=client).stdout)

    assert text.splitlines()[0].split() == ["TOTAL", "SYSTEM", "OFFERED"]
    assert told["total"]["millicores"] >= told["system"]["millicores"]
    assert told["total"]["memory_bytes"] > 0
    assert run(node, "capacity", "--share", "nan", client=client).exit_code == 2
