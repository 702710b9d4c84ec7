"""A `.fl` file is there whole or not at all."""

from pathlib import Path

import pytest

from p2pgrid.chunks.flist_files import FlistFiles
from p2pgrid.errors import NotFound, StoreFailed, Unusable
from p2pgrid.model.flist import flist_id

DATA = b"an flist" * 1000
FLIST = flist_id(DATA)


def test_what_was_written_is_listed_by_the_next_process(tmp_path: Path) -> None:
    FlistFiles(tmp_path).write(FLIST, DATA)
    files = FlistFiles(tmp_path)
    assert files.sizes() == {FLIST: len(DATA)}
    assert files.read(FLIST, start=3, bytes_max=4) == DATA[3:7]
    files.remove(FLIST)
    assert FlistFiles(tmp_path).sizes() == {}
    with pytest.raises(NotFound):
        files.read(FLIST, start=0, bytes_max=1)


def test_a_half_written_file_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / f"{FLIST.hex()}.part").write_bytes(DATA[:10])
    assert FlistFiles(tmp_path).sizes() == {}
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_named_after_an_flist_is_named(tmp_path: Path) -> None:
    (tmp_path / "abcd.fl").touch()
    with pytest.raises(Unusable, match=r"abcd\.fl"):
        FlistFiles(tmp_path)


def test_a_directory_that_went_away_is_a_failure_to_store(tmp_path: Path) -> None:
    files = FlistFiles(tmp_path / "flists")
    (tmp_path / "flists").rmdir()
    with pytest.raises(StoreFailed, match="make room"):
        files.write(FLIST, DATA)
    assert files.sizes() == {}
