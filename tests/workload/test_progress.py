"""Progress survives; what is damaged reads as nothing."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.workload.progress import Progress, Stage, boot_id, load_progress, save_progress

progresses = st.builds(
    Progress,
    stage=st.sampled_from(Stage),
    boot=st.text(max_size=40),
    exit_code=st.none() | st.integers(0, 255),
    cpu_ns=st.integers(0, 2**63),
)


@given(progress=progresses)
def test_what_is_saved_is_loaded(
    progress: Progress, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("progress") / "web.json"
    save_progress(file, progress)

    assert load_progress(file) == progress
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{", '{"stage": "flying"}', "[" * 5000,
     '{"stage": "ended", "boot": "", "exit_code": "0", "cpu_ns": 0}'],
)  # fmt: skip
def test_damage_reads_as_nothing_started(tmp_path: Path, text: str) -> None:
    file = tmp_path / "web.json"
    file.write_text(text)

    assert load_progress(file) == Progress()
    assert load_progress(tmp_path / "absent.json") == Progress()


def test_a_boot_has_a_name() -> None:
    assert len(boot_id()) == 36
