"""`p2pgrid simulate` tells people and programs what it saw, and fails when a rule was broken."""

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from p2pgrid.cli import main
from p2pgrid.explorer import view
from p2pgrid.simulation.scenarios import simulate

SMALL = ["simulate", "converge", "--nodes", "20", "--minutes", "3", "--changes-per-hour", "4"]


def test_a_run_is_one_object_for_programs() -> None:
    done = CliRunner().invoke(main, [*SMALL, "--seed", "3", "--json"])

    assert done.exit_code == 0
    told = json.loads(done.output)
    assert told["scenario"] == "converge"
    assert (told["nodes"], told["seed"], told["records_lost"]) == (20, 3, 0)
    assert told["changes_per_hour"] == 4.0
    assert told["violations"] == []
    assert 0 < told["reach_p50_seconds"] <= told["reach_p99_seconds"]


def test_a_run_is_a_table_for_people() -> None:
    done = CliRunner().invoke(main, SMALL)

    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[0].startswith("scenario   converge, 20 nodes, 3 min")
    assert {line.index(line.split("  ")[-1].strip()) for line in lines[:3]} == {11}


def test_an_unknown_scenario_is_wrong_usage_and_lists_the_known() -> None:
    done = CliRunner().invoke(main, ["simulate", "storm"])

    assert done.exit_code == 2
    assert "partition-heal" in done.output
    assert "ledger" in done.output


@pytest.mark.parametrize(
    "extra",
    [
        ["--minutes", "nan"],
        ["--minutes", "inf"],
        ["--hours", "1e9"],
        ["--hours", "nan"],
        ["--changes-per-hour", "1e9"],
        ["--changes-per-hour", "nan"],
        ["--changes-per-hour", "5e-324"],
        ["--nodes", "5000", "--hours", "168", "--changes-per-hour", "3600"],
        ["--nodes", "200000", "--hours", "1"],
    ],
)
def test_what_is_no_number_or_would_not_end_is_wrong_usage(extra: list[str]) -> None:
    done = CliRunner().invoke(main, ["simulate", "converge", *extra])

    assert done.exit_code == 2
    assert "Error: " in done.output


def test_the_help_has_the_range_of_nodes_and_how_long_each_scenario_takes() -> None:
    shown = " ".join(CliRunner().invoke(main, ["simulate", "--help"]).output.split())

    assert "8 to 5000, of converge to 200000" in shown
    assert "partition-heal 60 Two halves" in shown


@pytest.mark.parametrize(("arguments", "status"), [(["--help"], 0), ([], 2)])
def test_the_script_tells_of_its_table(arguments: list[str], status: int) -> None:
    script = Path(__file__).parents[2] / "scripts" / "simulate"
    done = subprocess.run([script, *arguments], capture_output=True, text=True, check=False)

    assert done.returncode == status
    shown = done.stderr if status else done.stdout
    assert "Usage: p2pgrid simulate" in shown
    assert "scripts/simulate --table" in shown


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_progress_is_for_people_at_a_terminal_and_changes_nothing(extra: list[str]) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "p2pgrid", *SMALL, *extra]
    shown = b""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True) as process:
        os.close(theirs)
        with suppress(OSError):  # the end of a terminal is an error
            while part := os.read(ours, 4096):
                shown += part
        told, _ = process.communicate()
    os.close(ours)

    assert process.returncode == 0
    assert (b"converge, 20 nodes" in shown) is (not extra)
    alone = simulate("converge", nodes=20, seed=1, minutes=3.0, changes_per_hour=4.0)
    assert alone.digest in told


def test_no_terminal_is_written_to_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")

    assert CliRunner().invoke(main, SMALL).stderr == ""


@pytest.mark.parametrize(("changes", "told"), [("1", "1 change an"), ("2", "2 changes an")])
def test_one_change_is_one_change(changes: str, told: str) -> None:
    done = CliRunner().invoke(main, [*SMALL, "--changes-per-hour", changes])

    assert f"load       {told} hour of each node" in done.output


def test_a_broken_rule_ends_with_status_1_and_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "lease_ms_of", lambda _kind: 10**12)
    done = CliRunner().invoke(main, ["simulate", "flood", "--nodes", "20", "--minutes", "1"])

    assert done.exit_code == 1
    assert "violated: a forged or outdated record is held (seed 1, at" in done.output


def test_a_run_says_whether_every_rule_held_and_what_is_no_loss() -> None:
    cut = ["simulate", "partition-heal", "--nodes", "16", "--changes-per-hour", "4"]
    done = CliRunner().invoke(main, [*cut, "--minutes", "20"])

    assert "rules      every rule held" in done.output
    assert "lost       0 records" in done.output
    assert "% of deliveries made; else a newer record came first" in done.output


def test_a_run_without_records_says_so() -> None:
    done = CliRunner().invoke(main, ["simulate", "converge", "--nodes", "8", "--model", "arrays"])

    assert done.exit_code == 0
    assert "no record was made in 0.5 min: take more nodes, minutes or changes" in done.output
    assert "p50" not in done.output


def test_a_simulated_ledger_is_told_alike() -> None:
    told = CliRunner().invoke(main, ["simulate", "ledger", "--seed", "3", "--seeds", "2", "--json"])
    shown = CliRunner().invoke(main, ["simulate", "ledger", "--nodes", "4"])

    assert (told.exit_code, shown.exit_code) == (0, 0)
    result = json.loads(told.output)
    assert (result["scenario"], result["seed"], result["seeds"]) == ("ledger", 3, 2)
    assert result["witnesses"] == {"1": 1, "10": 1}
    assert result["violations"] == []
    assert "rules       every rule held" in shown.output
    assert shown.output.splitlines()[1].split()[:5] == ["runs", "1", "of", "4", "witnesses;"]


@pytest.mark.parametrize(
    "extra",
    [
        ["--minutes", "1"],
        ["--plot", "ledger.png"],
        ["--changes-per-hour", "1"],
        ["--changes-per-hour", "3"],
        ["--nodes", "50"],
    ],
)
def test_a_simulated_ledger_takes_no_time_no_changes_no_crowd_and_draws_nothing(
    extra: list[str],
) -> None:
    assert CliRunner().invoke(main, ["simulate", "ledger", *extra]).exit_code == 2


def test_seeds_are_for_the_ledger() -> None:
    assert CliRunner().invoke(main, ["simulate", "converge", "--seeds", "2"]).exit_code == 2
