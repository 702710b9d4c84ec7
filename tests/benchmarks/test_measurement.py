"""Benchmark lines have the fixed form, and the runner names what it does not know."""

import json

from click.testing import CliRunner

from tests.benchmarks.__main__ import chosen_of, groups, main
from tests.benchmarks.measurement import compare, json_line, table

MISSED = compare("chunks.transfer", 90.0, "MB/s", reference=("bare TCP", 300.0), target=0.5)


def test_a_json_line_holds_the_eight_fields_and_nothing_else() -> None:
    assert json.loads(json_line(MISSED)) == {
        "bench": "chunks.transfer",
        "value": 90.0,
        "unit": "MB/s",
        "reference": "bare TCP",
        "reference_value": 300.0,
        "ratio": 0.3,
        "target": 0.5,
        "met": False,
    }


def test_the_table_says_what_was_missed() -> None:
    head, line = table([MISSED]).splitlines()
    assert line.endswith("MISSED")
    assert head.index("ratio") == line.index("0.30")


def test_an_unknown_group_is_a_usage_error_that_names_the_known_ones() -> None:
    result = CliRunner().invoke(main, ["nonsense"])
    assert result.exit_code == 2
    assert "there are:" in result.output


def test_the_help_names_every_group_and_what_it_needs() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output

    assert {*groups(), "explorer"} <= set(shown.split())
    assert "network namespaces, which needs root" in shown
    assert "needs node and npm" in shown
    assert "It takes ten minutes" in shown


def test_minutes_are_a_number_that_ends() -> None:
    assert all(
        CliRunner().invoke(main, ["--minutes", minutes, "records"]).exit_code == 2
        for minutes in ("nan", "inf", "-1")
    )


def test_a_topic_means_all_of_its_groups_and_each_once() -> None:
    known = groups()

    chosen = {one.__name__.rpartition(".")[2] for one in chosen_of(["explorer"], known)}

    assert "explorer_memory" in chosen
    assert chosen == {name for name in known if name.startswith("explorer_") or name == "gossip"}
    assert len(chosen_of(["explorer", "explorer_memory"], known)) == len(chosen)
    assert chosen_of([], known) == list(known.values())
