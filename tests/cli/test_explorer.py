"""The view as a whole: its status, and what it looks like."""

import json
from pathlib import Path
from typing import Any

import pytest

from p2pgrid.cli import explorer as commands
from p2pgrid.cli.explorer import explorer
from p2pgrid.units import MIB
from tests.cli.node import FakeClient, run
from tests.plots.grids import imagined, location, node

STATUS: dict[str, Any] = {
    "node": "3f9c01aa" * 8, "role": "node", "resident_bytes": 70 * MIB, "uptime_ms": 61_000,
    "root": "ab" * 16, "records": 12, "by_kind": {"node_announcement": 11, "farm_record": 1},
    "contradictions": 1, "liars": ["cc" * 32], "memory_bytes": 2 * MIB, "heard_age_ms": 5_000,
    "peers": [{"peer": "aa" * 32, "reconciled_age_ms": 3_000, "is_node": True},
              {"peer": "bb" * 32, "reconciled_age_ms": None, "is_node": True},
              {"peer": "dd" * 32, "reconciled_age_ms": None, "is_node": False}],
}  # fmt: skip


def test_the_status_is_shown_in_lines() -> None:
    lines = run(explorer, "status", client=FakeClient({"/explorer": STATUS})).stdout.splitlines()

    assert f"root            {'ab' * 16}" in lines
    assert "records         12, 2 MiB" in lines
    assert "by kind         11  node announcement" in lines
    assert "                 1  farm record" in lines
    assert "contradictions  1" in lines
    assert "                by cccccccc" in lines
    assert "last news       5 s ago" in lines
    assert "peers           aaaaaaaa  compared 3 s ago" in lines
    assert "                bbbbbbbb  not compared yet" in lines
    assert "                dddddddd  -" in lines


def test_a_light_peer_has_no_root() -> None:
    light = {
        **STATUS,
        "role": "light peer",
        "root": None,
        "records": None,
        "peers": [{"peer": "aa" * 32, "reconciled_age_ms": None, "is_node": None}],
    }

    text = run(explorer, "status", client=FakeClient({"/explorer": light})).stdout

    assert "a light peer asks others" in text
    assert "root" not in text
    assert "aaaaaaaa  -" in text


def test_programs_get_all_of_it() -> None:
    client = FakeClient({"/explorer": STATUS})

    assert json.loads(run(explorer, "status", "--json", client=client).stdout) == STATUS


def view_of(*rows: dict[str, Any]) -> FakeClient:
    return FakeClient({"/nodes": {"nodes": list(rows), "asked": 0, "agreed": 0}})


def test_the_map_is_a_table_unless_it_is_drawn() -> None:
    text = run(explorer, "map", client=view_of(node(1), node(2, location=None))).stdout

    heading, row, *_ = text.splitlines()
    assert heading.split() == [
        "PLACE", "COUNTRY", "LATITUDE", "LONGITUDE", "STATUS", "NODES", "CORES",
    ]  # fmt: skip
    assert row.split() == ["Ghent", "Belgium", "51.05", "3.70", "up", "1", "8"]
    assert "1 of 2 nodes do not say where they stand" in text
    assert run(explorer, "map", client=view_of()).stdout == "no node says where it stands\n"


def test_names_of_strangers_steer_no_terminal() -> None:
    hostile = node(1, location=location("\x1b[2J", "\x1b]0;x\x07", 0, 0), version="\x1b[2J")

    for word in ("map", "stats"):
        assert "\x1b" not in run(explorer, word, client=view_of(hostile)).stdout


def test_stats_add_up() -> None:
    text = run(explorer, "stats", client=view_of(node(1), node(2, status="down"))).stdout

    assert "cores           8        8         16    50 %" in text
    assert "by status   1  down" in text
    assert "            1  up" in text
    assert "prices      100 % to 100 %, median 100 %" in text
    summary = json.loads(run(explorer, "stats", "--json", client=view_of(node(1))).stdout)
    assert (summary["nodes"], summary["by_country"]) == (1, {"Belgium": 1})


@pytest.mark.parametrize("word", ["map", "stats"])
def test_pictures_are_drawn_into_the_file_that_is_named(tmp_path: Path, word: str) -> None:
    path = tmp_path / "a.png"

    result = run(explorer, word, "--plot", str(path), client=view_of(*imagined(20)))

    assert result.exit_code == 0, result.stderr
    assert str(path) in result.stdout
    assert path.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_drawn_is_refused_before_the_node_is_asked(tmp_path: Path) -> None:
    client = view_of(node(1))

    assert run(explorer, "map", "--plot", "a.pdf", client=client).exit_code == 2
    assert client.calls == []
    missing = str(tmp_path / "nowhere" / "a.png")
    assert run(explorer, "stats", "--plot", missing, client=client).exit_code == 1


def test_every_page_of_the_view_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "LISTED_MAX", 2)
    pages = [{"nodes": [node(1), node(2)]}, {"nodes": [node(3)]}]
    client = FakeClient({"/nodes": [lambda: pages[0], lambda: pages[1]]})

    assert len(json.loads(run(explorer, "stats", "--json", client=client).stdout)) > 0
    assert [said["page"] for _, said in client.calls] == [1, 2]
