"""Packs grow only at their end, and what the disk refuses is taken back."""

import os
from pathlib import Path

import pytest

from p2pgrid.chunks.pack_files import PackFiles
from p2pgrid.errors import StoreFailed
from p2pgrid.units import KIB
from tests.chunks.blobs import blob

BLOBS = [blob(number) for number in range(40)]


def test_appending_goes_on_where_the_last_process_stopped(tmp_path: Path) -> None:
    places = PackFiles(tmp_path, pack_bytes_max=20 * KIB).append(BLOBS[:20])
    files = PackFiles(tmp_path, pack_bytes_max=20 * KIB)
    places |= files.append(BLOBS[20:])
    assert len(files.ends()) > 2
    assert files.read(places) == {one.chunk: one.data for one in BLOBS}
    for pack, end in files.ends().items():
        assert (tmp_path / f"pack-{pack:08d}.dat").stat().st_size == end


def test_a_refusal_in_the_second_pack_takes_the_first_back_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = PackFiles(tmp_path, pack_bytes_max=20 * KIB)
    places = files.append(BLOBS[:5])
    ends = files.ends()
    syncs: list[int] = []

    def fail_the_second(file: int) -> None:
        syncs.append(file)
        if len(syncs) == 2:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdatasync", fail_the_second)
        with pytest.raises(StoreFailed, match="No space left"):
            files.append(BLOBS[5:])
    assert files.ends() == ends
    assert sum(file.stat().st_size for file in tmp_path.glob("pack-*")) == sum(ends.values())
    places |= files.append(BLOBS[5:])
    assert files.read(places) == {one.chunk: one.data for one in BLOBS}


def test_writes_in_pieces_come_out_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_some = os.pwritev
    monkeypatch.setattr(
        os,
        "pwritev",
        lambda file, parts, offset: write_some(file, [b"".join(parts)[:50]], offset),
    )
    files = PackFiles(tmp_path)
    assert files.read(files.append(BLOBS)) == {one.chunk: one.data for one in BLOBS}


def test_a_pack_that_cannot_be_cut_back_gets_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = PackFiles(tmp_path)
    files.append(BLOBS[:5])

    def fail(*_arguments: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", fail)
        patched.setattr(os, "truncate", fail)
        with pytest.raises(StoreFailed):
            files.append(BLOBS[5:6])
    (place,) = files.append(BLOBS[6:7]).values()
    assert (place.pack, place.offset) == (2, 0)


def test_a_missing_pack_reads_as_missing_chunks(tmp_path: Path) -> None:
    files = PackFiles(tmp_path)
    places = files.append(BLOBS)
    (tmp_path / "pack-00000001.dat").unlink()
    assert files.read(places) == {}
