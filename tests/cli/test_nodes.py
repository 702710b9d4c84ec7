"""Nodes are listed as they are, and what is not sure is marked."""

import json
from typing import Any

import pytest

from p2pgrid.cli.nodes import nodes
from p2pgrid.units import GIB
from tests.cli.node import FakeClient, run

CAPACITY = {
    "millicores": 3500, "memory_bytes": 4 * GIB, "ssd_bytes": 100 * GIB, "hdd_bytes": 0, "gpus": 0,
}  # fmt: skip
ONE: dict[str, Any] = {
    "node": "3f9c01aa" * 8, "farm": "aa" * 32, "farm_name": "Acme", "is_confirmed": True,
    "round_trip_us": 12_345, "is_contradicted": False, "is_farm_contradicted": False,
    "status": "up", "age_ms": 61_000, "uptime_ms": 7_200_000, "free": CAPACITY, "total": CAPACITY,
    "system": {**CAPACITY, "gpus": 1}, "price_permille": 825, "features": ["container"],
    "location": None, "addresses": [], "version": "0.1.0",
    "hardware": {"board": "board\x1b[2J", "cpu_model": "", "secure_boot": None,
                 "virtualized": None},
}  # fmt: skip


def answer(*rows: dict[str, Any], asked: int = 0) -> FakeClient:
    return FakeClient({"/nodes": {"nodes": list(rows), "asked": asked, "agreed": asked}})


def test_a_list_is_aligned_and_marks_what_no_farm_confirms() -> None:
    thief = {**ONE, "is_confirmed": False, "features": []}

    heading, first, second = run(nodes, "list", client=answer(ONE, thief)).stdout.splitlines()

    assert heading.split() == [
        "NODE", "FARM", "STATUS", "CORES", "MEMORY", "SSD", "HDD", "PRICE", "FEATURES", "HEARD",
    ]  # fmt: skip
    assert "3f9c01aa  Acme    up" in first
    assert "82.5 %" in first
    assert "Acme ?" in second


def test_whoever_is_proved_to_lie_is_marked_and_never_lost() -> None:
    node, farm = {**ONE, "is_contradicted": True}, {**ONE, "is_farm_contradicted": True}

    lines = run(nodes, "list", client=answer(ONE, node, farm)).stdout.splitlines()

    assert [line.count("!") for line in lines[1:4]] == [0, 1, 1]
    assert "3f9c01aa !  Acme" in lines[2]
    assert "Acme !" in lines[3]
    assert lines[-1] == "! is proved to have told different things at once"
    assert "!" not in run(nodes, "list", client=answer(ONE)).stdout
    both = {**node, "is_farm_contradicted": True}
    shown = run(nodes, "show", "3f9c", client=FakeClient({"/nodes/3f9c": both})).stdout
    assert "proved       the node and its farm told different things at once\n" in shown
    client = answer()
    run(nodes, "list", "--consistent", client=client)
    assert client.calls[0][1]["contradicted"] == 0


def test_who_sorts_by_latency_sees_it() -> None:
    lines = run(nodes, "list", "--sort", "latency", client=answer(ONE)).stdout.splitlines()
    assert lines[0].endswith("LATENCY")
    assert lines[1].endswith("12.3 ms")
    far = run(
        nodes, "show", "3f9c", client=FakeClient({"/nodes/3f9c": {**ONE, "round_trip_us": None}})
    )
    assert "latency      -\n" in far.stdout
    near = answer({**ONE, "round_trip_us": 43})
    assert run(nodes, "list", "--sort", "latency", client=near).stdout.rstrip().endswith(" 43 µs")


def test_who_sorts_by_uptime_sees_it() -> None:
    lines = run(nodes, "list", "--sort", "uptime", client=answer(ONE)).stdout.splitlines()
    assert lines[0].endswith("UPTIME")
    assert lines[1].endswith("  2 h")


def test_a_light_peer_says_how_many_agree() -> None:
    text = run(nodes, "list", client=answer(ONE, asked=3)).stdout

    assert "3 of 3 peers asked gave this answer" in text
    assert "peers" not in run(nodes, "list", client=answer(ONE)).stdout
    programs = run(nodes, "list", "--json", client=answer(ONE, asked=3)).stdout
    assert json.loads(programs) == ONE


def test_filters_are_passed_on() -> None:
    client = answer()
    words = ["--cores", "0.5", "--memory", "4G", "--feature", "container", "--sort", "hdd"]

    assert "try fewer filters" in run(nodes, "list", *words, client=client).stdout

    ((_, query),) = client.calls
    assert (query["cores"], query["memory"], query["sort"]) == (0.5, 4 * GIB, "hdd")
    assert (query["feature"], query["limit"], query["country"]) == (("container",), 100, None)


def test_claims_are_asked_for_only_when_they_were_given() -> None:
    client = answer()
    run(nodes, "list", "--confirmed", "--no-ipv6", "--page", "2", "--reverse", client=client)
    ((_, query),) = client.calls
    assert (query["confirmed"], query["ipv6"], query["public_address"]) == (1, 0, None)
    assert (query["page"], query["reverse"]) == (2, 1)


def test_a_page_says_of_how_much_it_is_one_and_how_young_it_is() -> None:
    found = {"nodes": [ONE], "asked": 3, "agreed": 2, "youngest_age_ms": 61_000, "total": 40}
    text = run(nodes, "list", "--page", "3", client=FakeClient({"/nodes": found})).stdout
    assert "1 of 40 nodes; page 3" in text
    told = {**found, "is_total_exact": False}
    text = run(nodes, "list", client=FakeClient({"/nodes": told})).stdout
    assert "1 of about 40 nodes; page 1" in text
    assert "2 of 3 peers asked gave this answer; the newest record is 1 min old" in text


def test_a_page_beyond_the_last_says_how_many_there_are() -> None:
    def text(page: str, limit: str, **found: Any) -> str:
        client = FakeClient({"/nodes": {"nodes": [], "asked": 0, "agreed": 0, **found}})
        shown: str = run(nodes, "list", "--page", page, "--limit", limit, client=client).stdout
        return shown

    assert text("9", "2", total=5) == "no page 9: there are 3 pages of 5 nodes\n"
    assert text("2", "5", total=5) == "no page 2: there is 1 page of 5 nodes\n"
    assert "about 3 pages of about 5 nodes" in text("9", "2", total=5, is_total_exact=False)
    assert text("9", "2", total=0) == "no node fits; try fewer filters\n"


@pytest.mark.parametrize(
    "words",
    [
        ["--country", ""],
        ["--city", " "],
        ["--farm", ""],
        ["--gpu", ""],
        ["--feature", ""],
        ["--price-min", "100", "--price-max", "50"],
        ["--cores", "nan"],
        ["--memory", "4X"],
        ["--limit", "0"],
        ["--price-min", "-1"],
        ["--page", "0"],
        ["--sort", "beauty"],
    ],
)
def test_filters_that_make_no_sense_are_refused(words: list[str]) -> None:
    assert run(nodes, "list", *words, client=answer()).exit_code == 2


def test_one_is_shown_with_what_it_does_not_say() -> None:
    client = FakeClient({"/nodes/3f9c": ONE})

    text = run(nodes, "show", "3f9c", client=client).stdout

    assert "free         3.5 cores, 4 GiB memory, 100 GiB SSD, 0 B HDD\n" in text
    assert "1 GPUs" in text
    assert "location     not said" in text
    assert "secure boot  unknown" in text
    assert "hardware     board [2J\n" in text
    assert "addresses    none" in text
