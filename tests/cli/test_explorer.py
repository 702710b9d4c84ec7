"""The view as a whole: its status, and what it looks like."""

import json
from typing import Any

from p2pgrid.cli.explorer import explorer
from p2pgrid.units import MIB
from tests.cli.node import FakeClient, run

STATUS: dict[str, Any] = {
    "node": "3f9c01aa" * 8, "role": "node", "resident_bytes": 70 * MIB, "uptime_ms": 61_000,
    "root": "ab" * 16, "records": 12, "by_kind": {"node_announcement": 11, "farm_record": 1},
    "contradictions": 1, "memory_bytes": 2 * MIB, "heard_age_ms": 5_000,
    "peers": [{"peer": "aa" * 32, "reconciled_age_ms": 3_000},
              {"peer": "bb" * 32, "reconciled_age_ms": None}],
}  # fmt: skip


def test_the_status_is_shown_in_lines() -> None:
    lines = run(explorer, "status", client=FakeClient({"/explorer": STATUS})).stdout.splitlines()

    assert f"root            {'ab' * 16}" in lines
    assert "records         12, 2 MiB" in lines
    assert "by kind         11  node announcement" in lines
    assert "                 1  farm record" in lines
    assert "contradictions  1" in lines
    assert "last news       5 s ago" in lines
    assert "peers           aaaaaaaa  compared 3 s ago" in lines
    assert "                bbbbbbbb  not compared yet" in lines


def test_a_light_peer_has_no_root() -> None:
    light = {**STATUS, "role": "light peer", "root": None, "records": None, "peers": []}

    text = run(explorer, "status", client=FakeClient({"/explorer": light})).stdout

    assert "a light peer asks others" in text
    assert "root" not in text


def test_programs_get_all_of_it() -> None:
    client = FakeClient({"/explorer": STATUS})

    assert json.loads(run(explorer, "status", "--json", client=client).stdout) == STATUS
