"""A node starts on what it knows to be its own, or says why not; it stops when told to."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from p2pgrid import keys
from p2pgrid.cli.client import NodeClient
from p2pgrid.cli.demo_grid import wait_until
from p2pgrid.config import Config
from p2pgrid.errors import (
    BadInput,
    DataInUse,
    GridError,
    NewerFormat,
    NotFound,
    Unreachable,
    Unusable,
)
from p2pgrid.ledger.genesis_file import GENESIS_NAME, encode_genesis, new_genesis, write_genesis
from p2pgrid.model.genesis import Genesis
from p2pgrid.node import first_error, run_node
from p2pgrid.store.directory import lock_directory
from p2pgrid.store.leveldb import open_leveldb
from p2pgrid.store.store import FORMAT_VERSION, Table
from tests.ledger.grids import NOW, node_of

pytestmark = pytest.mark.clock

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 10.0


def grid_named(name: str) -> Genesis:
    return new_genesis(
        name, witnesses=[(node_of("witness"), 1)], balances=[], created_ms=NOW, nonce=bytes(16)
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory of a light peer of grid `ours`, which never ran."""
    made = tmp_path / "data"
    made.mkdir(mode=0o700)
    write_genesis(made / GENESIS_NAME, grid_named("ours"))
    return made


def light(data: Path) -> Config:
    return Config(data=data, listen=("/ip4/127.0.0.1/tcp/0",), light=True, mdns=False)


def refusal(data: Path, grid: Path | None = None) -> GridError:
    """Why the node does not start."""
    with pytest.raises(GridError) as caught:
        run_node(light(data), grid)
    assert not (data / "control.sock").exists()
    assert str(caught.value).isprintable()
    return caught.value


def remember(data: Path, key: bytes, value: bytes) -> None:
    """Put something into the node's own database."""

    async def write() -> None:
        async with open_leveldb(data / "node.ldb", name="node") as store:
            await store.commit([(key, value)])

    trio.run(write)


def test_without_a_grid_there_are_three_ways_to_one(tmp_path: Path) -> None:
    error = refusal(tmp_path / "data")

    assert isinstance(error, BadInput)
    for hint in ("--grid FILE", str(tmp_path / "data"), "p2pgrid grid create"):
        assert hint in str(error)


def test_a_grid_that_is_not_there_is_named(tmp_path: Path) -> None:
    error = refusal(tmp_path / "data", tmp_path / "gone.cbor")

    assert "gone.cbor cannot be read: No such file" in str(error)
    assert not (tmp_path / "data" / GENESIS_NAME).exists()


def test_another_grid_than_before_is_refused(data: Path, tmp_path: Path) -> None:
    write_genesis(tmp_path / "other.cbor", grid_named("other"))

    error = refusal(data, tmp_path / "other.cbor")

    assert "belongs to grid 'ours'" in str(error)
    assert "use another data directory" in str(error)


@pytest.mark.parametrize("flip", [0, 40, -1])
def test_a_damaged_genesis_is_refused(data: Path, flip: int) -> None:
    damaged = bytearray(encode_genesis(grid_named("ours")))
    damaged[flip] ^= 1
    (data / GENESIS_NAME).write_bytes(damaged)

    error = refusal(data)

    assert str(data / GENESIS_NAME) in str(error)
    assert "damaged" in str(error) or "not a genesis file" in str(error)


def test_a_damaged_genesis_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "cut.cbor").write_bytes(encode_genesis(grid_named("ours"))[:-1])

    refusal(tmp_path / "data", tmp_path / "cut.cbor")

    assert not (tmp_path / "data" / GENESIS_NAME).exists()


def test_data_of_another_grid_is_not_touched(data: Path) -> None:
    """Somebody exchanged the file, and left what was stored under the other."""
    remember(data, Table.META.key(b"network"), grid_named("other").network)

    error = refusal(data)

    assert isinstance(error, Unusable)
    assert "put the right file back" in str(error)
    assert grid_named("ours").network.hex()[:8] in str(error)
    assert grid_named("other").network.hex()[:8] in str(error)


def test_a_newer_format_is_not_touched(data: Path) -> None:
    remember(data, Table.FORMAT.key(), str(FORMAT_VERSION + 1).encode())

    error = refusal(data)

    assert isinstance(error, NewerFormat)
    assert "newer" in str(error)


def test_a_key_that_others_may_read_is_refused(data: Path) -> None:
    keys.open_identity(data)
    keys.identity_path(data).chmod(0o640)

    error = refusal(data)

    assert isinstance(error, Unusable)
    assert f"chmod 600 {keys.identity_path(data)}" in str(error)


def test_a_directory_in_use_is_refused_by_the_id_of_its_process(data: Path) -> None:
    with lock_directory(data):
        error = refusal(data)

    assert isinstance(error, DataInUse)
    assert str(os.getpid()) in str(error)


def test_a_directory_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    error = refusal(tmp_path / "file" / "data")

    assert isinstance(error, Unusable)
    assert "cannot be used" in str(error)


def test_a_directory_too_deep_for_a_socket_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir(mode=0o700)
    write_genesis(deep / GENESIS_NAME, grid_named("ours"))

    assert "shorter data directory" in str(refusal(deep))


def test_an_address_that_cannot_be_listened_on_is_refused(data: Path) -> None:
    with pytest.raises(GridError, match=r"203\.0\.113\.1"):
        run_node(Config(data=data, listen=("/ip4/203.0.113.1/tcp/4001",), light=True), None)


def test_the_first_of_nested_errors_is_told() -> None:
    inner = ExceptionGroup("inner", [NotFound("the cause"), ValueError("later")])

    assert str(first_error(ExceptionGroup("outer", [inner]))) == "the cause"
    assert str(first_error(NotFound("alone"))) == "alone"


@contextmanager
def running(data: Path, *more: str, is_light: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """A peer as a process, up and answering; killed at the end if it still runs."""
    words = ["node", "run", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0", *more]
    words += ["--light"] if is_light else []
    process = subprocess.Popen(
        [sys.executable, "-m", "p2pgrid", "--data", str(data), *words], stderr=subprocess.PIPE
    )
    try:
        wait_until("it answers", lambda: answers(data, process), seconds_max=START_SECONDS_MAX)
        yield process
    finally:
        process.kill()
        process.communicate()


def answers(data: Path, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, process.communicate()
    try:
        NodeClient(data).get("/status")
    except Unreachable:
        return False
    return True


@pytest.mark.slow
def test_a_killed_node_starts_again_as_the_same_and_stops_when_told(data: Path) -> None:
    with running(data) as first:
        identity = NodeClient(data).get("/status")["node"]
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert (data / "control.sock").is_socket(), "a killed node leaves its socket"

    with running(data) as second:
        assert NodeClient(data).get("/status")["node"] == identity
        assert isinstance(refusal_beside(data), DataInUse)
        with closing(socket.socket(socket.AF_UNIX)) as silent:
            silent.connect(str(data / "control.sock"))  # a client that never says a word
            stopping = time.monotonic()
            second.send_signal(signal.SIGTERM)
            assert second.wait(STOP_SECONDS_MAX) == 0
            assert time.monotonic() - stopping < STOP_SECONDS_MAX
        assert not (data / "control.sock").exists()
        assert b"stopping: SIGTERM" in (data / "node.log").read_bytes()


def refusal_beside(data: Path) -> GridError:
    """Why a second program does not start on the directory; the first goes on."""
    with pytest.raises(GridError) as caught:
        run_node(light(data), None)
    assert (data / "control.sock").is_socket()
    return caught.value


@pytest.mark.slow
@pytest.mark.timeout(3 * START_SECONDS_MAX)
def test_a_node_that_is_stopped_is_down_with_others_until_it_starts_again(
    data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    write_genesis(other / GENESIS_NAME, grid_named("ours"))
    with running(data, is_light=False):
        (address, *_) = NodeClient(data).get("/status")["addresses"]
        with running(other, "--peer", address, is_light=False) as stopped:
            identity = NodeClient(other).get("/status")["node"]
            wait_until("it is up", partial(shows, data, identity, "up"), seconds_max=30)
            stopped.send_signal(signal.SIGTERM)
            assert stopped.wait(STOP_SECONDS_MAX) == 0
        wait_until("it is down", partial(shows, data, identity, "down"), seconds_max=5)
        with running(other, "--peer", address, is_light=False):
            wait_until("it is up again", partial(shows, data, identity, "up"), seconds_max=30)


def shows(data: Path, node: str, status: str) -> bool:
    """Whether a node sees another so."""
    found = NodeClient(data).get("/nodes")["nodes"]
    return [one["status"] for one in found if one["node"] == node] == [status]


@pytest.mark.slow
def test_refusing_to_start_is_exit_status_1_and_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "p2pgrid", "--data", str(tmp_path / "data"), "node", "run"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: which grid?")
