"""What an flist holds comes out whole, or there is an error and nothing half done."""

import base64
import json
import os
import resource
import shutil
import stat
import tarfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2pgrid.cli import flist_content
from p2pgrid.cli.flist import flist
from p2pgrid.errors import Unreachable
from p2pgrid.flist.fetching import pack_blobs
from p2pgrid.flist.fl import encode_flist
from p2pgrid.flist.tree import Entry
from p2pgrid.limits.chunks import CHUNK_BYTES
from p2pgrid.limits.flist import READ_BATCH_CHUNKS
from p2pgrid.model.flist import flist_id
from p2pgrid.model.ids import ChunkId
from tests.cli.node import FakeClient, run
from tests.flist.archives import apply, directory, member, symlink, tar

LARGE = os.urandom(CHUNK_BYTES + 5)
TREE, CHUNKS = apply(
    tar(
        directory("etc"),
        member("etc/motd", b"hello\n", mtime=9),
        symlink("motd", "/etc/motd"),
        member("large", LARGE),
    )
)
DATA = encode_flist(TREE.root, {})
NAME = "web:1"
OLD = Path(__file__).parents[1] / "vectors" / "legacy.flist"


def blobs(body: dict[str, Any]) -> bytes:
    assert body["flist"] == flist_id(DATA).hex()
    assert len(body["chunks"]) <= READ_BATCH_CHUNKS
    return pack_blobs([bytes(CHUNKS[ChunkId(bytes.fromhex(one))]) for one in body["chunks"]])


def node(answer: Callable[[dict[str, Any]], bytes] | Exception = blobs) -> FakeClient:
    return FakeClient({"/flist-files/web%3A1": DATA, "/flists/blobs": answer})


def asked(client: FakeClient) -> int:
    return sum(len(said["chunks"]) for path, said in client.calls if path == "/flists/blobs")


# --- cat ------------------------------------------------------------------------------------------


def test_a_file_is_printed_as_it_is_and_nothing_else_is_fetched() -> None:
    client = node()

    assert run(flist, "cat", NAME, "motd", client=client).stdout_bytes == b"hello\n"
    assert asked(client) == 1
    assert run(flist, "cat", NAME, "large", client=client).stdout_bytes == LARGE


def test_programs_get_its_bytes_in_pieces() -> None:
    lines = run(flist, "cat", NAME, "/large", "--json", client=node()).stdout.splitlines()

    pieces = [json.loads(line) for line in lines]
    assert [one["offset"] for one in pieces] == [0, CHUNK_BYTES]
    assert b"".join(base64.b64decode(one["base64"]) for one in pieces) == LARGE


def test_a_terminal_is_not_steered_by_what_a_stranger_wrote(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)

    flist_content._print_piece(bytearray(b"a\x1b[2J\nb\xff\n"))

    assert capsys.readouterr().out == "a [2J\nb\ufffd\n"


@pytest.mark.parametrize("path", ["none", "etc", ""])
def test_what_is_no_file_is_said(path: str) -> None:
    refused = run(flist, "cat", NAME, path, client=node())

    assert refused.exit_code == 1
    assert refused.stdout == ""


def test_a_chunk_that_is_another_one_is_not_printed() -> None:
    """The node is not believed: it may be on another machine some day, and its disk can err."""
    refused = run(flist, "cat", NAME, "motd", client=node(lambda _: pack_blobs([b"x" * 30])))

    assert refused.exit_code == 2
    assert "damaged" in refused.stderr
    assert refused.stdout_bytes == b""


@pytest.mark.parametrize(
    "words", [["cat", "{}", "hello"], ["extract", "{}", "o"], ["export", "{}", "o"]]
)
def test_of_an_old_flist_there_are_no_chunks(words: list[str], tmp_path: Path) -> None:
    refused = run(flist, *(one.format(OLD) for one in words))

    assert refused.exit_code == 2
    assert "not on the grid" in refused.stderr


# --- extract --------------------------------------------------------------------------------------


def test_a_tree_is_extracted(tmp_path: Path) -> None:
    into = tmp_path / "out"

    told = json.loads(run(flist, "extract", NAME, str(into), "--json", client=node()).stdout)
    people = run(flist, "extract", NAME, str(tmp_path / "people"), client=node()).stdout

    assert (into / "large").read_bytes() == LARGE
    assert (into / "motd").readlink() == Path("/etc/motd")
    assert told["flist"] == flist_id(DATA).hex()
    assert (told["entries"], told["left_out"]) == (5, 0)
    assert told["has_owners"] == (os.geteuid() == 0)
    assert people.startswith("5 entries, 512 KiB in ")


def test_a_directory_that_is_not_empty_needs_yes(tmp_path: Path) -> None:
    (tmp_path / "large").write_text("old")

    refused = run(flist, "extract", NAME, str(tmp_path), client=node())
    assert (refused.exit_code, (tmp_path / "large").read_text()) == (2, "old")
    assert "--yes" in refused.stderr
    assert run(flist, "extract", NAME, str(tmp_path), "--yes", client=node()).exit_code == 0
    assert (tmp_path / "large").read_bytes() == LARGE


def test_what_is_left_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Entry(mode=stat.S_IFDIR | 0o755)
    root.children = {b"s": Entry(mode=stat.S_IFSOCK | 0o600)}
    (tmp_path / "s.fl").write_bytes(encode_flist(root, {}))
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    told = run(flist, "extract", str(tmp_path / "s.fl"), str(tmp_path / "out")).stdout

    assert "only root can give files away" in told
    assert "1 devices or sockets are left out" in told


@pytest.mark.parametrize("command", ["extract", "export"])
def test_a_disk_without_room_is_not_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, CHUNK_BYTES))

    refused = run(flist, command, NAME, str(tmp_path / "out"), client=node())

    assert refused.exit_code == 1
    assert "there is no room" in refused.stderr
    assert not (tmp_path / "out").exists()


# --- export ---------------------------------------------------------------------------------------


def test_an_image_archive_is_written(tmp_path: Path) -> None:
    file = tmp_path / "web.tar"

    told = json.loads(run(flist, "export", NAME, str(file), "--json", client=node()).stdout)
    people = run(flist, "export", NAME, str(tmp_path / "again.tar"), client=node()).stdout

    assert (told["flist"], told["file_bytes"]) == (flist_id(DATA).hex(), file.stat().st_size)
    assert told["manifest"] in people
    assert (tmp_path / "again.tar").read_bytes() == file.read_bytes()
    with tarfile.open(file) as archive:
        assert f"blobs/{told['manifest'].replace(':', '/')}" in archive.getnames()
        index = archive.extractfile("index.json")
        assert index is not None
        assert b'"org.opencontainers.image.ref.name":"1"' in index.read()


def test_a_file_that_is_there_needs_yes(tmp_path: Path) -> None:
    file = tmp_path / "web.tar"
    file.write_text("mine")

    assert run(flist, "export", NAME, str(file), client=node()).exit_code == 2
    assert file.read_text() == "mine"
    assert run(flist, "export", NAME, str(file), "--yes", client=node()).exit_code == 0
    assert tarfile.is_tarfile(file)
    assert run(flist, "export", NAME, str(tmp_path), "--yes", client=node()).exit_code == 2


def test_an_archive_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "web.tar").write_text("mine")
    client = node(Unreachable("the node ended"))

    failed = run(flist, "export", NAME, str(tmp_path / "web.tar"), "--yes", client=client)

    assert failed.exit_code == 3
    assert [one.name for one in tmp_path.iterdir()] == ["web.tar"]
    assert (tmp_path / "web.tar").read_text() == "mine"


@pytest.mark.parametrize("command", ["extract", "export"])
def test_a_disk_that_refuses_is_told(tmp_path: Path, command: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # as if the disk were full
    try:
        failed = run(flist, command, NAME, str(tmp_path / "out"), client=node())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert failed.exit_code == 1
    assert "File too large" in failed.stderr
    assert not (tmp_path / "out").is_file()
    assert not list(tmp_path.glob(".*"))
