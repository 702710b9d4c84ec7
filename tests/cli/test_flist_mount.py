"""`flist mount` tells what it does, gives the directory back, and says why when it cannot."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import pytest
from click.testing import Result

from p2pgrid.cli.demo_grid import wait_until
from p2pgrid.cli.flist import flist
from p2pgrid.errors import Unreachable
from p2pgrid.flist.fetching import pack_blobs
from p2pgrid.flist.fl import encode_flist
from p2pgrid.model.ids import ChunkId
from p2pgrid.mounting import mounts_under
from tests.cli.node import FakeClient, run
from tests.cli.test_flist_content import OLD
from tests.flist.archives import apply, directory, member, tar

pytestmark = pytest.mark.root

TREE, CHUNKS = apply(tar(directory("etc"), member("etc/motd", b"hello\n"), member("b", b"later")))
DATA = encode_flist(TREE.root, {})


def node() -> FakeClient:
    def blobs(body: dict[str, list[str]]) -> bytes:
        return pack_blobs([bytes(CHUNKS[ChunkId(bytes.fromhex(one))]) for one in body["chunks"]])

    return FakeClient({"/flist-files/web%3A1": DATA, "/flists/blobs": blobs})


def mount_until(
    client: FakeClient, point: Path, *options: str, then: Callable[[], object]
) -> tuple[Result, object]:
    """Mount, look, and press Ctrl-C."""
    seen: list[object] = []

    def look() -> None:
        try:
            wait_until("it is mounted", lambda: point in mounts_under(point), seconds_max=20)
            seen.append(then())
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    looking = Thread(target=look)
    looking.start()
    done = run(flist, "mount", "web:1", str(point), *options, client=client)
    looking.join()
    assert mounts_under(point) == []
    return done, seen[0]


def test_what_is_read_is_there_and_the_directory_is_given_back(tmp_path: Path) -> None:
    done, seen = mount_until(node(), tmp_path, then=(tmp_path / "etc" / "motd").read_bytes)

    assert seen == b"hello\n"
    assert done.exit_code == 0
    assert "4 entries, 11 B" in done.stdout
    assert "Ctrl-C unmounts" in done.stdout


def test_programs_hear_what_happens(tmp_path: Path) -> None:
    client = node()

    def all_has_come() -> bool:
        wait_until("all has come", lambda: len(client.calls) >= 2, seconds_max=20)
        return True

    done, _ = mount_until(client, tmp_path, "--json", then=all_has_come)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert (told[0]["event"], told[-1]["event"]) == ("mounted", "unmounted")
    assert told[0]["content_bytes"] == 11


def test_on_demand_nothing_comes_that_nobody_reads(tmp_path: Path) -> None:
    client = node()
    _, seen = mount_until(client, tmp_path, "--on-demand", then=lambda: sorted(
        one.name for one in tmp_path.iterdir()
    ))  # fmt: skip
    assert seen == ["b", "etc"]
    assert [path for path, _ in client.calls] == ["/flist-files/web%3A1"]


def test_why_it_cannot_be_is_told(tmp_path: Path) -> None:
    missing = run(flist, "mount", "web:1", str(tmp_path / "no"), client=node())
    assert (missing.exit_code, "make it first" in missing.stderr) == (2, True)
    away = FakeClient({"/flist-files/web%3A1": Unreachable("nobody has it")})
    assert run(flist, "mount", "web:1", str(tmp_path), client=away).exit_code == 3
    old = run(flist, "mount", str(OLD), str(tmp_path), client=node())
    assert (old.exit_code, "chunks of an old flist" in old.stderr) == (2, True)
