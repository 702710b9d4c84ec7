"""Every command on a live grid: what people see, what programs get, and how mistakes end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from p2pgrid.units import MIB, TFT
from tests.integration.conftest import LiveGrid, eventually, p2pgrid, page_of, serves

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

QUERY_SECONDS_MAX = 0.6


def lines(text: str) -> list[dict[str, Any]]:
    """The JSON objects that a command printed."""
    return [json.loads(line) for line in text.splitlines()]


def test_nodes_and_farms_are_listed(grid: LiveGrid) -> None:
    data = grid.processes.consumer.data
    listed = lines(p2pgrid(data, "nodes", "list", "--json", check=True).stdout)
    assert {one["node"] for one in listed} == {node.node_id for node in grid.nodes}

    people = p2pgrid(data, "nodes", "list", "--sort", "cores", check=True).stdout
    assert people.startswith("NODE")
    assert "3 of 3 peers asked gave this answer" in people

    shown = p2pgrid(data, "nodes", "show", grid.nodes[0].node_id[:8], check=True).stdout
    assert grid.nodes[0].node_id in shown
    assert "Farm 1" in shown
    assert "unconfirmed" not in shown

    farms = lines(p2pgrid(data, "farms", "list", "--json", check=True).stdout)
    assert sorted(str(one["title"]) for one in farms) == ["Farm 1", "Farm 2", "Farm 3"]
    assert "Farm 2" in p2pgrid(data, "farms", "show", "farm 2", check=True).stdout

    none = p2pgrid(data, "nodes", "list", "--cores", "5000", check=True).stdout
    assert "no node fits" in none


def test_money_is_sent_and_told(grid: LiveGrid) -> None:
    data, receiver = grid.processes.consumer.data, grid.nodes[2].node_id
    before = grid.consumer.get("/accounts/node")["balance"]

    words = ["wallet", "send", receiver, "1.5", "--memo", "lunch", "--yes"]
    assert "certified" in p2pgrid(data, *words, check=True).stdout

    fee = grid.consumer.get("/accounts/node/history", limit=1)[0]["fee"]
    shown = json.loads(p2pgrid(data, "wallet", "show", "--json", check=True).stdout)
    assert shown["balance"] == before - 15 * TFT // 10 - fee
    history = p2pgrid(data, "wallet", "history", check=True).stdout.splitlines()
    assert "lunch" in history[1]
    assert "-1.5000000" in history[1]
    assert "node" in p2pgrid(data, "wallet", "list", check=True).stdout
    status = json.loads(p2pgrid(data, "ledger", "status", "--json", check=True).stdout)
    assert status["in_accounts"] + status["in_escrow"] + status["burnt"] == 1000 * TFT
    assert "everything holds" in p2pgrid(grid.nodes[0].data, "ledger", "verify", check=True).stdout


def test_a_second_wallet_holds_and_sends(grid: LiveGrid) -> None:
    data = grid.processes.consumer.data
    made = json.loads(
        p2pgrid(data, "wallet", "create", "savings", "--plain", "--json", check=True).stdout
    )
    p2pgrid(data, "wallet", "send", "savings", "2", "--yes", check=True)
    words = ["wallet", "send", "node", "1", "--wallet", "savings", "--yes"]
    p2pgrid(data, *words, check=True)
    left = grid.consumer.get(f"/accounts/{made['account']}")["balance"]
    assert 0 < left < TFT

    again = p2pgrid(data, "wallet", "create", "savings", "--plain")
    assert again.returncode == 2
    assert "never written over" in again.stderr


def test_a_container_runs_from_one_line_to_its_end(grid: LiveGrid) -> None:
    data = grid.processes.consumer.data
    short = f"{grid.image[:8]}/{grid.image.partition('/')[2]}"
    small = ["--cores", "0.1", "--memory", "64M", "--disk", "16M"]

    dry = p2pgrid(data, "run", short, *small, "--dry-run", "--node", grid.nodes[1].node_id[:8])
    assert dry.returncode == 0, dry.stderr
    assert grid.nodes[1].node_id[:8] in dry.stdout
    assert grid.consumer.get("/accounts/node")["pending"] is None

    made = lines(p2pgrid(data, "run", short, *small, "--json", check=True).stdout)[0]
    address = made["addresses"][0]
    eventually("the page is there", lambda: serves(address))
    assert "It runs" in page_of(address)
    identity = str(made["reservation"])
    assert identity[:16] in p2pgrid(data, "reservations", "list", check=True).stdout
    shown = p2pgrid(data, "reservations", "show", identity[:12], check=True).stdout
    assert "running" in shown
    eventually(
        "the log tells of the request",
        lambda: "url:/" in p2pgrid(data, "reservations", "logs", identity, check=True).stdout,
    )
    ended = p2pgrid(data, "reservations", "cancel", identity, "--yes", check=True).stdout
    assert "refunded" in ended
    eventually("the container is gone", lambda: not serves(address))


def test_a_document_is_reserved(grid: LiveGrid, tmp_path: Path) -> None:
    document = tmp_path / "job.toml"
    document.write_text(
        'duration = "1h"\n[[container]]\nname = "job"\n'
        f'image = "{grid.image}"\ncores = 0.1\nmemory = "64M"\ndisk = "16M"\n'
        'command = ["sh", "-c", "echo done; exit 3"]\n'
    )
    data = grid.processes.consumer.data
    made = lines(p2pgrid(data, "reserve", str(document), "--json", check=True).stdout)[0]

    identity = str(made["reservation"])
    eventually(
        "it ends by itself, and is settled",
        lambda: grid.consumer.get(f"/reservations/{identity}")["phase"] == "ended",
    )
    one = grid.consumer.get(f"/reservations/{identity}")
    assert one["exit_code"] == 3
    assert one["paid"] + one["refunded"] == one["deposit"]
    assert p2pgrid(data, "reservations", "logs", identity, check=True).stdout == "done\n"

    document.write_text('duration = "1h"\n[[container]]\nname = "a"\nimage = "b"\nmemry = "1G"\n')
    wrong = p2pgrid(data, "reserve", str(document))
    assert wrong.returncode == 2
    assert "memory" in wrong.stderr


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        (["nodez"], 2, "did you mean 'node'"),
        (["wallet", "sned"], 2, "did you mean 'send'"),
        (["nodes", "show", "ffffffffffff"], 1, "there is no node"),
        (["farms", "show", "nowhere"], 1, "there is no farm"),
        (["run", "nobody/nothing:1"], 1, "there is no image"),
        (["run", "{image}", "--cores", "900"], 1, "no node has what is asked for"),
        (["run", "{image}", "--cores", "0.1", "--price-max", "0.0000001"], 1, "TFT an hour"),
        (["wallet", "send", "{receiver}", "99999999", "--yes"], 1, "holds"),
        (["wallet", "send", "abc", "1", "--yes"], 1, "there is no wallet 'abc'"),
        (["wallet", "send", "{receiver}", "1.00000001", "--yes"], 2, "7 decimals"),
        (["reservations", "show", "ffff"], 1, "there is no reservation"),
        (["flist", "convert", "dir:/"], 2, "full node"),
        (["reserve", "/nonexistent.toml"], 2, "does not exist"),
    ],
)
def test_mistakes_end_with_one_clear_line(
    grid: LiveGrid, words: list[str], exit_code: int, message: str
) -> None:
    before = grid.consumer.get("/accounts/node")
    filled = [w.format(image=grid.image, receiver=grid.nodes[0].node_id) for w in words]

    done = p2pgrid(grid.processes.consumer.data, *filled)

    assert done.returncode == exit_code, done.stderr
    assert message in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("Error")]) == 1
    after = grid.consumer.get("/accounts/node")
    assert (after["balance"], after["pending"]) == (before["balance"], None)


def test_images_that_are_broken_are_refused(grid: LiveGrid, tmp_path: Path) -> None:
    data = grid.nodes[0].data
    (tmp_path / "cut.tar").write_bytes(b"\0" * 700)

    broken = p2pgrid(data, "flist", "convert", f"docker-archive:{tmp_path}/cut.tar")
    assert broken.returncode in {1, 2}
    assert "cut.tar" in broken.stderr
    missing = p2pgrid(data, "flist", "convert", "docker://127.0.0.1:9/team/app:1")
    assert missing.returncode in {1, 3}
    unknown = p2pgrid(data, "flist", "convert", "floppy:a")
    assert unknown.returncode == 2
    assert "docker-archive" in unknown.stderr


def test_what_an_image_holds_comes_out_of_the_grid(grid: LiveGrid, tmp_path: Path) -> None:
    data, into, file = grid.nodes[1].data, tmp_path / "out", tmp_path / "web.tar"

    users = p2pgrid(data, "flist", "cat", grid.image, "etc/passwd", check=True).stdout
    told = p2pgrid(data, "flist", "extract", grid.image, str(into), "--json", check=True)
    p2pgrid(data, "flist", "export", grid.image, str(file), check=True)
    again = p2pgrid(data, "flist", "convert", f"oci-archive:{file}", "--json", check=True)

    assert users == (into / "etc" / "passwd").read_text()
    assert json.loads(again.stdout)["flist"] == json.loads(told.stdout)["flist"]


def test_an_image_is_pulled_from_whom_holds_it_and_seeded(grid: LiveGrid, tmp_path: Path) -> None:
    (tmp_path / "pulled").mkdir()
    (tmp_path / "pulled" / "large").write_bytes(os.urandom(3 * MIB))
    first, second = grid.nodes[0].data, grid.nodes[1].data
    converted = p2pgrid(first, "flist", "convert", f"dir:{tmp_path}/pulled", "--json", check=True)
    flist = json.loads(converted.stdout)["flist"]

    def holders() -> set[str]:
        return set(grid.nodes[1].client.get(f"/flists/{flist}")["holders"])

    eventually("the flist is known", lambda: grid.nodes[0].node_id in holders())
    pulled = json.loads(p2pgrid(second, "flist", "pull", flist, "--json", check=True).stdout)
    assert list(pulled["given_bytes"]) == [grid.nodes[0].node_id]
    assert pulled["fetched_bytes"] > 3 * MIB
    assert holders() == {grid.nodes[0].node_id}
    seeded = p2pgrid(second, "flist", "seed", flist, check=True).stdout
    assert "nothing had to be fetched; it is seeded from now on" in seeded
    both = {node.node_id for node in grid.nodes[:2]}
    eventually("it is told that the second holds it", lambda: holders() == both)
    p2pgrid(second, "flist", "seed", flist, "--stop", check=True)
    eventually("it is told that it holds it no more", lambda: holders() < both)
    assert p2pgrid(second, "flist", "pull", "00" * 32).returncode == 1


def test_an_image_is_a_directory_at_once(grid: LiveGrid, tmp_path: Path) -> None:
    data, point = grid.nodes[1].data, tmp_path / "web"
    point.mkdir()
    command = [sys.executable, "-m", "p2pgrid", "--data", str(data), "flist", "mount"]
    with subprocess.Popen(
        [*command, grid.image, str(point), "--json"], stdout=subprocess.PIPE, text=True
    ) as serving:
        assert serving.stdout is not None
        assert json.loads(serving.stdout.readline())["event"] == "mounted"
        users = (point / "etc" / "passwd").read_text()
        serving.send_signal(signal.SIGINT)
        events = [one["event"] for one in lines(serving.stdout.read())]

    assert serving.returncode == 0
    assert events[-1] == "unmounted"
    assert users == p2pgrid(data, "flist", "cat", grid.image, "etc/passwd", check=True).stdout
    assert list(point.iterdir()) == []


def test_two_programs_never_share_a_directory(grid: LiveGrid) -> None:
    second = p2pgrid(grid.nodes[0].data, "node", "run")

    assert second.returncode == 1
    assert str(grid.nodes[0].process.pid if grid.nodes[0].process else 0) in second.stderr


def test_a_query_answers_at_once(grid: LiveGrid) -> None:
    seconds = []
    for _ in range(5):
        start = time.monotonic()
        p2pgrid(grid.nodes[0].data, "nodes", "list", check=True)
        seconds.append(time.monotonic() - start)

    assert min(seconds) < QUERY_SECONDS_MAX  # the others waited for a busy machine


def test_status_is_told(grid: LiveGrid) -> None:
    told = p2pgrid(grid.nodes[0].data, "node", "status", check=True).stdout
    assert "offered" in told
    light = json.loads(
        p2pgrid(grid.processes.consumer.data, "node", "status", "--json", check=True).stdout
    )
    assert light["role"] == "light peer"
    assert len(light["peers"]) == 3


def test_help_is_there_for_everything() -> None:
    for shell in ("bash", "zsh", "fish"):
        done = subprocess.run(
            [sys.executable, "-m", "p2pgrid", "completion", shell],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "_P2PGRID_COMPLETE" in done.stdout
