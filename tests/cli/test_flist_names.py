"""Names are searched, given and told apart by who gives them."""

import json
from typing import Any

from p2pgrid.cli.flist import flist
from p2pgrid.errors import NotFound
from p2pgrid.limits.control import FLISTS_LISTED
from tests.cli.node import FakeClient, run

PUBLISHER = "3f9c01aa" * 8
NAME: dict[str, Any] = {
    "publisher": PUBLISHER, "title": "web", "tag": "1", "content_bytes": 2048, "holders": 2,
    "flist": "5d1c" * 16, "age_ms": 3_600_000, "description": "a page\x1b[2J",
}  # fmt: skip


def test_a_search_asks_for_all_words_and_shows_names() -> None:
    client = FakeClient({"/flists": [NAME]})
    text = run(flist, "search", "small", "page", client=client).stdout
    assert "3f9c01aa/web:1" in text
    assert "\x1b" not in text
    assert client.calls == [("/flists", {"search": "small page", "limit": FLISTS_LISTED})]
    told = json.loads(run(flist, "search", "page", "--json", client=client).stdout)
    assert told["tag"] == "1"
    nothing = run(flist, "search", "x", client=FakeClient({"/flists": []}))
    assert (nothing.exit_code, "no name speaks" in nothing.stdout) == (0, True)
    assert run(flist, "search").exit_code == 2


def test_a_tag_is_one_more_name() -> None:
    client = FakeClient({"/flists/names": {"name": f"{PUBLISHER}/web:latest"}})
    done = run(flist, "tag", "3f9c/web:1", "web", client=client)
    assert done.stdout == f"published as {PUBLISHER}/web:latest\n"
    (call,) = client.calls
    assert call[1] == {"flist": "3f9c/web:1", "is_name": True, "name": "web", "description": ""}


def test_publishers_are_listed_with_their_standing_and_forgotten() -> None:
    base = {"publisher": PUBLISHER, "address": "tft1x", "names": 3, "newest_age_ms": 60_000}
    rows = [
        {**base, "is_known": False, "is_own": True},
        {**base, "is_known": True, "is_own": False, "newest_age_ms": None},
        {**base, "is_known": False, "is_own": False},
    ]
    client = FakeClient({"/publishers": rows, "/publishers/forget": {"publisher": PUBLISHER}})
    shown = run(flist, "publishers", client=client).stdout.splitlines()
    assert [line.split()[1] for line in shown[1:]] == ["yourself", "run", "unknown"]
    gone = run(flist, "publishers", "--forget", "tft1x", client=client)
    assert "is unknown again" in gone.stdout
    assert client.calls[-1] == ("/publishers/forget", {"publisher": "tft1x"})
    refused = FakeClient({"/publishers/forget": NotFound("not among them")})
    assert run(flist, "publishers", "--forget", "x", client=refused).exit_code == 1
