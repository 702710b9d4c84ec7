"""The bench measures beside others, or says why not."""

from pathlib import Path

import pytest

from tests.benchmarks.chunks_peers import beside, nginx_serving, torrent_seeding


def test_a_reference_that_is_missing_is_named_and_nothing_is_met(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with nginx_serving(tmp_path) as (fetch, name):
        assert fetch is None
    assert name == "nginx not measured: needs nginx, curl, openssl"
    row = beside("chunks.nginx", 5.0, name, None, 1.0)
    assert (row.value, row.reference, row.met) == (5.0, name, False)


def test_without_the_package_libtorrent_is_not_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    with torrent_seeding(tmp_path) as (fetch, name):
        assert fetch is None
    assert name == "libtorrent not measured: no package (FileNotFoundError)"


def test_a_reference_that_is_there_is_compared() -> None:
    row = beside("chunks.libtorrent", 10.0, "libtorrent", 4.0, 2.0)
    assert (row.ratio, row.met) == (2.5, True)
