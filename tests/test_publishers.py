"""Publishers are remembered over restarts, boundedly, and a damaged file is told."""

from pathlib import Path

import pytest

from p2pgrid import publishers
from p2pgrid.errors import Unusable
from p2pgrid.model.ids import AccountId
from p2pgrid.publishers import (
    forget_publisher,
    know_publishers,
    known_publishers,
    publishers_path,
)

FIRST, SECOND, THIRD = (AccountId(bytes([number]) * 32) for number in (1, 2, 3))


def test_who_was_met_is_known_until_he_is_forgotten(tmp_path: Path) -> None:
    assert known_publishers(tmp_path) == ()
    know_publishers(tmp_path, [FIRST, SECOND, FIRST])
    know_publishers(tmp_path, [SECOND])
    assert known_publishers(tmp_path) == (FIRST, SECOND)

    assert forget_publisher(tmp_path, FIRST)
    assert not forget_publisher(tmp_path, FIRST)
    assert known_publishers(tmp_path) == (SECOND,)
    assert [one.name for one in tmp_path.iterdir()] == ["publishers"]


def test_the_oldest_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishers, "PUBLISHERS_MAX", 2)
    for one in (FIRST, SECOND, THIRD):
        know_publishers(tmp_path, [one])
    assert known_publishers(tmp_path) == (SECOND, THIRD)


@pytest.mark.parametrize("text", ["zz" * 32, "01" * 31, "é", "01 02\n\n"])
def test_a_damaged_file_is_told_and_not_written_over(tmp_path: Path, text: str) -> None:
    publishers_path(tmp_path).write_text(text)
    with pytest.raises(Unusable, match="remove it to begin anew"):
        know_publishers(tmp_path, [FIRST])
    assert publishers_path(tmp_path).read_text() == text


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="cannot write"):
        know_publishers(tmp_path / "missing", [FIRST])
