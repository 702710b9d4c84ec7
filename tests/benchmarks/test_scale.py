"""The table of what the design promises says what was seen, and what is not kept."""

import pytest
from click.testing import CliRunner

from tests.benchmarks import explorer_reconcile, scale
from tests.benchmarks.measurement import Measurement
from tests.benchmarks.scale import HEAD, Figure, Row, Run, main, reconcile_row, spread_within


def measured(worst_bytes: float) -> dict[str, Measurement]:
    values = {"bytes_10": worst_bytes, "bytes_100": 30.0, "bytes_1000": 22.0, "equal": 42.0}
    values |= {"cpu_10": 12.0, "cpu_100": 60.0, "cpu_1000": 250.0}
    names = {f"explorer_reconcile.{name}": value for name, value in values.items()}
    return {
        name: Measurement(name, value, "", "", 1.0, 1.0, 1.0, met=True)
        for name, value in names.items()
    }


def test_a_promise_is_kept_or_not() -> None:
    row = Row("grid", "load", 3, (Figure("p99", 1.5, 2.0, " s"), Figure("copies", 1.81, 6.0)))

    assert row.line() == "| grid | load | 3 | p99 1.5 s; copies 1.81 | ≤ 2 s; ≤ 6 | yes |"
    assert "**no**" in Row("grid", "load", 3, (Figure("p99", 2.1, 2.0),)).line()
    assert "lost | " in (broken := Row("grid", "load", 3, (), ("a record is lost",))).line()
    assert not broken.is_met


def test_reconciling_is_told_by_its_worst_figures() -> None:
    assert (
        "44 B/difference; CPU of both 250 ms; equal sets 42 B"
        in reconcile_row(measured(44.0)).line()
    )
    assert reconcile_row(measured(44.0)).is_met
    assert not reconcile_row(measured(46.0)).is_met


@pytest.mark.parametrize(("seconds", "status"), [(5.0, 0), (0.001, 1)])
def test_the_table_is_run(monkeypatch: pytest.MonkeyPatch, seconds: float, status: int) -> None:
    run = Run("30 nodes", "converge", 30, 0.5, 40.0, spread_within(seconds, 6.0, 1.0))
    monkeypatch.setattr(scale, "RUNS", (run,))
    monkeypatch.setattr(explorer_reconcile, "measure", lambda: measured(40.0).values())
    done = CliRunner().invoke(main, ["--seed", "2"])

    assert done.exit_code == status
    lines = [line for line in done.stdout.splitlines() if line.startswith("| 30 nodes")]
    assert len(lines) == 1
    assert "40 changes/h a node for 30 s" in lines[0]
    assert " 2 | p99 " in lines[0]
    assert HEAD in done.stdout
