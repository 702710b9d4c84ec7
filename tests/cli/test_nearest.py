"""What was probably meant is named; what exists is taken as it is."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from p2pgrid.cli.nearest import ExistingFile, NearestGroup


@click.group("tool", cls=NearestGroup)
def tool() -> None:
    """Two commands."""


@tool.command("send")
@click.argument("file", type=ExistingFile())
def send(file: Path) -> None:
    """Print it."""
    click.echo(repr(file))


@tool.command("show")
def show() -> None:
    """Do nothing."""


@pytest.mark.parametrize(
    ("typed", "meant"), [("sned", "send"), ("shwo", "show"), ("SEND", "send"), ("xylophone", None)]
)
def test_a_command_is_named(typed: str, meant: str | None) -> None:
    result = CliRunner().invoke(tool, [typed])

    assert result.exit_code == 2
    assert f"there is no command {typed!r}" in result.stderr
    if meant:
        assert f"did you mean {meant!r}?" in result.stderr
    else:
        assert "see tool --help" in result.stderr


def test_a_file_that_is_there_is_a_path(tmp_path: Path) -> None:
    (tmp_path / "web.toml").write_text("")

    result = CliRunner().invoke(tool, ["send", str(tmp_path / "web.toml")])

    assert result.stdout == f"{tmp_path / 'web.toml'!r}\n"


def test_a_file_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "web.toml").write_text("")
    (tmp_path / "wed.d").mkdir()

    result = CliRunner().invoke(tool, ["send", str(tmp_path / "wbe.toml")])

    assert result.exit_code == 2
    assert "does not exist; did you mean" in result.stderr
    assert "web.toml'?" in result.stderr


@pytest.mark.parametrize("name", ["zzzzzz", "missing/web.toml", ""])
def test_where_nothing_is_near_nothing_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "web.toml").write_text("")

    result = CliRunner().invoke(tool, ["send", str(tmp_path / name) if name else name])

    assert result.exit_code == 2
    assert "did you mean" not in result.stderr


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    result = CliRunner().invoke(tool, ["send", str(tmp_path)])

    assert result.exit_code == 2
    assert "is a directory" in result.stderr
