"""Images are named as people know them: by absolute paths, and by a few digits."""

import json
import tarfile
from pathlib import Path

import pytest

from p2pgrid.cli.flist import absolute_source, flist
from p2pgrid.flist.fl import TAG_CONFIG, encode_flist
from p2pgrid.flist.image_config import canonical_config
from p2pgrid.model.flist import flist_id
from p2pgrid.units import MIB
from tests.cli.node import FakeClient, run
from tests.flist.archives import apply, member, symlink, tar

PUBLISHER, FLIST = "3f9c01aa" * 8, "5d1c" * 16
NAMED = {
    "name": f"{PUBLISHER}/web:1",
    "publisher": PUBLISHER,
    "title": "web",
    "tag": "1",
    "flist": FLIST,
    "flist_bytes": 1,
    "content_bytes": 3 * MIB,
    "description": "a page\x1b[2J",
    "holders": 2,
    "age_ms": 61_000,
}


@pytest.mark.parametrize("scheme", ["docker-archive:", "oci:", "oci-archive:", "dir:"])
def test_the_node_gets_absolute_paths(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It works in another directory than the person who asks."""
    monkeypatch.chdir(tmp_path)

    assert absolute_source(f"{scheme}web") == f"{scheme}{tmp_path}/web"
    assert absolute_source(f"{scheme}/srv/web") == f"{scheme}/srv/web"


@pytest.mark.parametrize("source", ["docker://a/b:1", "dir:", "oci:", "floppy:a", ""])
def test_everything_else_is_left_to_the_node(source: str) -> None:
    """`dir:` alone is a mistake, not the directory that one happens to be in."""
    assert absolute_source(source) == source


def test_names_are_short_for_people_and_whole_for_programs() -> None:
    client = FakeClient({"/flists": [NAMED]})

    people = run(flist, "list", client=client).stdout.splitlines()
    assert people[1].startswith("3f9c01aa/web:1  3 MiB  5d1c5d1c5d1c5d1c")
    assert "a page [2J" in people[1]
    programs = run(flist, "list", "web", "--limit", "5", "--json", client=client)
    assert json.loads(programs.stdout) == NAMED
    assert client.calls[1] == ("/flists", {"title": "web", "limit": 5})


def test_an_flist_is_shown_with_those_who_have_it() -> None:
    found = {"flist": FLIST, "names": [NAMED], "holders": [PUBLISHER], "is_here": False}
    client = FakeClient({"/flists/3f9c%2Fweb%3A1": found})

    text = run(flist, "show", "3f9c/web:1", client=client).stdout

    assert f"{PUBLISHER}/web:1  3 MiB, 1 min ago" in text
    assert f"holders  {PUBLISHER}" in text
    assert "is here  no" in text


def test_a_conversion_tells_what_was_made() -> None:
    made = {"flist": FLIST, "entries": 7, "content_bytes": MIB, "chunks": 2, "name": NAMED["name"]}
    client = FakeClient({"/flists": made})

    text = run(flist, "convert", "dir:/srv", "--name", "web:1", client=client).stdout

    assert text.splitlines() == [
        f"flist {FLIST}", "7 entries, 1 MiB in 2 chunks", f"published as {NAMED['name']}",
    ]  # fmt: skip
    assert client.calls == [("/flists", {"source": "dir:/srv", "name": "web:1", "description": ""})]


def fl_file(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    return encode_flist(apply(tar(*members))[0].root, {})


OLD = fl_file(member("a\x1b", b"1", mtime=86_400), symlink("l", "a"))
NEW = fl_file(member("a\x1b", b"2", mtime=86_400), member("b"))


def test_a_tree_is_listed_from_the_node_or_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "web.fl").write_bytes(OLD)
    client = FakeClient({"/flist-files/3f9c%2Fweb%3A1": OLD})

    asked = run(flist, "tree", "3f9c/web:1", client=client).stdout.splitlines()
    read = run(flist, "tree", str(tmp_path / "web.fl")).stdout.splitlines()

    assert asked == read
    assert [" ".join(line.split()) for line in read] == [
        "drwxr-xr-x 0:0 0 1970-01-01 .",
        "-rw-r--r-- 0:0 1 1970-01-02 a",
        "lrwxrwxrwx 0:0 0 1970-01-01 l -> a",
    ]
    part = run(flist, "tree", str(tmp_path / "web.fl"), "l", "--json").stdout
    assert (json.loads(part)["path"], json.loads(part)["target"]) == ("l", "a")


def test_two_flists_are_compared(tmp_path: Path) -> None:
    (tmp_path / "new.fl").write_bytes(NEW)
    client = FakeClient({"/flist-files/web%3A1": OLD})

    lines = run(flist, "diff", "web:1", str(tmp_path / "new.fl"), client=client).stdout
    found = run(flist, "diff", "web:1", str(tmp_path / "new.fl"), "--json", client=client).stdout

    assert lines.splitlines() == ["a   content", "b  added", "l  removed"]
    assert json.loads(found.splitlines()[1]) == {"path": "b", "what": ["added"]}


def test_what_is_no_flist_is_said(tmp_path: Path) -> None:
    (tmp_path / "web.fl").write_bytes(b"GIF89a")

    refused = run(flist, "tree", str(tmp_path / "web.fl"))

    assert refused.exit_code == 2
    assert "not an flist" in refused.stderr
    assert run(flist, "tree", "none:1").exit_code == 1


def test_a_file_says_what_it_holds_and_how_it_runs(tmp_path: Path) -> None:
    kept = canonical_config(
        b'{"os": "linux", "architecture": "amd64", "config": {"Cmd": ["/bin/x", "y"],'
        b'"Env": ["A=b\\u001b"], "ExposedPorts": {"80/tcp": {}}}}'
    )
    root = apply(tar(member("a", b"1"), member("b", b"1")))[0].root
    data = encode_flist(root, {TAG_CONFIG: kept})
    (tmp_path / "web.fl").write_bytes(data)

    told = json.loads(run(flist, "show", str(tmp_path / "web.fl"), "--json").stdout)
    people = run(flist, "show", str(tmp_path / "web.fl")).stdout

    assert told["flist"] == flist_id(data).hex()
    assert (told["entries"], told["content_bytes"], told["chunks"]) == (3, 2, 1)
    assert (told["command"], told["ports"]) == (["/bin/x", "y"], ["80/tcp"])
    assert told["flist"] in people
    assert "A=b" in people
    assert "\x1b" not in people


def test_a_name_is_taken_back() -> None:
    client = FakeClient({"/flists/names/withdraw": {"name": f"{PUBLISHER}/web:1"}})

    assert run(flist, "remove", "web:1", client=client).stdout.endswith("web:1 is taken back\n")
    assert client.calls == [("/flists/names/withdraw", {"name": "web:1"})]
    assert run(flist, "remove", "web:1").exit_code == 1


@pytest.mark.parametrize(("missing", "status"), [([], 0), (["ab" * 32], 1)])
def test_an_flist_is_verified(missing: list[str], status: int) -> None:
    told = {"flist": FLIST, "blocks": 3, "missing": missing, "damaged": []}
    client = FakeClient({"/flists/verify": told})

    people = run(flist, "verify", "web:1", client=client)
    programs = run(flist, "verify", "web:1", "--json", client=client)

    assert (people.exit_code, programs.exit_code) == (status, status)
    assert people.stdout.splitlines()[1:] == [f"missing  {chunk}" for chunk in missing]
    assert json.loads(programs.stdout) == told


def test_an_old_flist_is_shown_and_listed_without_its_secrets() -> None:
    old = str(Path(__file__).parents[1] / "vectors" / "legacy.flist")

    told = json.loads(run(flist, "show", old, "--json").stdout)
    people = run(flist, "show", old).stdout + run(flist, "tree", old).stdout

    assert (told["format"], told["entries"], told["chunks"]) == ("0-flist", 212, 2)
    assert told["tags"] == ["backend", "readme"]
    assert "usr/bin/tool-199" in people
    assert "secret" not in people + json.dumps(told)
