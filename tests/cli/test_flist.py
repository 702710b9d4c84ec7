"""Images are named as people know them: by absolute paths, and by a few digits."""

import json
from pathlib import Path

import pytest

from p2pgrid.cli.flist import absolute_source, flist
from p2pgrid.units import MIB
from tests.cli.node import FakeClient, run

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
