"""What strangers wrote is harmless in a picture, and pictures are what their name says."""

import sys
import xml.dom.minidom
from pathlib import Path

import pytest

from p2pgrid.errors import BadInput
from p2pgrid.limits.plots import LABEL_CHARACTERS_MAX
from p2pgrid.plots.figure import check_picture, drawing, horizontal_bars, label

HOSTILE = ("$\\frac{1}$", "$", "$x^", "<script>", "a\x1b[2J", "\u202eabc", "東京", "x" * 10_000)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_no_name_spoils_a_picture(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"

    with drawing(path, label(name), size_inches=(6, 3)) as figure:
        horizontal_bars(figure.add_subplot(), label(name), [(label(name), 1.0)])

    if suffix == ".svg":
        xml.dom.minidom.parse(str(path))
    else:
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", HOSTILE)
def test_labels_are_short_and_obeyed_by_nobody(name: str) -> None:
    assert len(label(name)) <= LABEL_CHARACTERS_MAX
    assert label(name).isprintable()


def test_the_same_data_gives_the_same_file(tmp_path: Path) -> None:
    paths = [tmp_path / "a.svg", tmp_path / "b.svg"]
    for path in paths:
        with drawing(path, "title", size_inches=(6, 3)) as figure:
            horizontal_bars(figure.add_subplot(), "bars", [("a", 1.0)])

    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_other_names_and_a_missing_library_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match=r"\.png or \.svg"):
        check_picture(Path("map.pdf"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BadInput, match=r"pip install 'p2pgrid\[plots\]'"):
        check_picture(tmp_path / "map.png")
