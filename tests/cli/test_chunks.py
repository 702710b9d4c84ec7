"""Nothing is given up unasked, and damage shows in the exit status."""

import json
from typing import Any

from p2pgrid.cli.chunks import chunks
from p2pgrid.units import MIB
from tests.cli.node import FakeClient, run

REPORT = {
    "usage": {
        "chunk_count": 7,
        "chunk_bytes": 5 * MIB,
        "pack_bytes": 6 * MIB,
        "flist_count": 1,
        "flist_bytes": MIB,
    },
    "share_bytes": 8 * MIB,
    "loose_count": 3,
    "loose_bytes": 2 * MIB,
    "excess_bytes": MIB,
}
COLLECTED = {"evicted_bytes": MIB, "freed_bytes": 2 * MIB}
SOUND: dict[str, Any] = {
    "chunk_count": 7,
    "damaged": [],
    "unreadable": [],
    "flist_count": 1,
    "damaged_flists": [],
    "unreadable_flists": [],
    "is_sound": True,
}


def client(**verified: Any) -> FakeClient:
    return FakeClient(
        {"/chunks": REPORT, "/chunks/gc": COLLECTED, "/chunks/verify": {**SOUND, **verified}}
    )


def test_stats_tell_what_may_go() -> None:
    lines = run(chunks, "stats", client=client()).stdout.splitlines()
    assert [" ".join(line.split()) for line in lines] == [
        "chunks 7, 5 MiB",
        "on disk 6 MiB of 8 MiB",
        "not needed 3, 2 MiB",
        "flists 1, 1 MiB",
    ]
    assert json.loads(run(chunks, "stats", "--json", client=client()).stdout) == REPORT


def test_damage_is_named_and_fails() -> None:
    sound = run(chunks, "verify", client=client())
    assert sound.exit_code == 0
    assert "7 chunks and 1 flists were read" in sound.stdout
    damaged = client(damaged=["ab" * 32], is_sound=False)
    for words in (["verify"], ["verify", "--json"]):
        found = run(chunks, *words, client=damaged)
        assert found.exit_code == 1
        assert "ab" * 32 in found.stdout


def test_gc_asks_first() -> None:
    refused = client()
    assert run(chunks, "gc", "--all", client=refused, typed="n\n").exit_code != 0
    assert [path for path, _ in refused.calls] == ["/chunks"]
    asked = run(chunks, "gc", client=client(), typed="y\n")
    assert "Give up 1 MiB" in asked.stdout
    assert "1 MiB of chunks went, 2 MiB of the disk came back" in asked.stdout


def test_gc_does_not_ask_programs() -> None:
    for words in (["--yes"], ["--json"]):
        willing = client()
        assert run(chunks, "gc", "--all", *words, client=willing).exit_code == 0
        assert willing.calls[-1] == ("/chunks/gc", {"all": True})
