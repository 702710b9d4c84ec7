"""Shells get a script, and the script gets our commands."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from p2pgrid.cli import main


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_for_our_command(shell: str) -> None:
    result = CliRunner().invoke(main, ["completion", shell])

    assert result.exit_code == 0
    assert "_P2PGRID_COMPLETE" in result.stdout
    assert "p2pgrid" in result.stdout


def test_bash_takes_the_script() -> None:
    script = CliRunner().invoke(main, ["completion", "bash"]).stdout
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr


def test_an_unknown_shell_is_refused() -> None:
    result = CliRunner().invoke(main, ["completion", "tcsh"])

    assert result.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in result.stderr


@pytest.mark.parametrize(
    ("line", "word", "expected"),
    [("p2pgrid wal", "1", "wallet"), ("p2pgrid wallet se", "2", "send")],
)
def test_commands_are_completed(line: str, word: str, expected: str) -> None:
    environment = {
        "_P2PGRID_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": word, "PATH": "",
    }  # fmt: skip
    code = "from p2pgrid.cli import main; main(prog_name='p2pgrid')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )

    assert f"plain,{expected}" in done.stdout.splitlines()
