"""Every command is there, says the same of itself everywhere, and starts at once."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from p2pgrid.cli import COMMANDS, DEBUG, main
from p2pgrid.cli.output import EXIT_STATUS

pytestmark = pytest.mark.clock

HELP_SECONDS_MAX = 0.4
SLOW_MODULES = ("libp2p", "trio", "rich", "nacl", "cbor2", "starlette", "p2pgrid.node")
WITHOUT_JSON = {"node run", "reservations logs", "completion"}
"""They print what is no list of records: a log, a container's output, a script."""

SELF_EXPLAINING = {"nodes"}
"""`p2pgrid demo --nodes 5`."""


def leaves(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its full name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group):
            yield from leaves(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


LEAVES = dict(leaves(main))
ALL = [*LEAVES, *(name for name in COMMANDS if name not in LEAVES)]


def helped(name: str) -> str:
    result = CliRunner().invoke(main, [*name.split(), "--help"])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_of_a_command_is_the_first_of_its_help(name: str) -> None:
    command = main.get_command(click.Context(main), name)

    assert command is not None
    assert command.name == name
    assert (command.help or "").splitlines()[0] == COMMANDS[name]


@pytest.mark.parametrize("name", ALL)
def test_every_help_has_an_example_that_calls_the_command(name: str) -> None:
    lines = helped(name).splitlines()
    examples = lines[lines.index("  Examples:") + 1 :]

    assert f"p2pgrid {name}" in examples[0] or any(f" {name}" in one for one in examples)


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_tells_its_exit_status(name: str) -> None:
    assert (
        EXIT_STATUS.replace("\b", "").split()
        == helped(name).split()[-len(EXIT_STATUS.split()) + 1 :]
    )


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_speaks_json_unless_it_streams(name: str) -> None:
    options = {option for one in LEAVES[name].params for option in one.opts}

    assert ("--json" in options) != (name in WITHOUT_JSON)


@pytest.mark.parametrize("name", LEAVES)
def test_every_option_says_what_it_does(name: str) -> None:
    silent = {
        one.name for one in LEAVES[name].params if isinstance(one, click.Option) and not one.help
    }

    assert silent <= SELF_EXPLAINING


@pytest.mark.parametrize("name", LEAVES)
def test_examples_are_understood(name: str) -> None:
    """Nobody copies an example that is refused: every option in it exists."""
    options = {option for one in LEAVES[name].params for option in (*one.opts, *one.secondary_opts)}
    options |= {"--help", "--data"}
    example = helped(name).partition("Examples:")[2].partition("\n\n")[0]
    for line in example.splitlines():
        ours, _, _ = line.partition(" -- ")
        ours, _, _ = ours.partition(" | ")
        if f"p2pgrid {name}" in ours:
            used = {word for word in ours.split() if word.startswith("-")}
            assert used <= options, line


def test_help_lists_every_command_with_its_line() -> None:
    text = helped("")
    for name, line in COMMANDS.items():
        assert f"  {name}" in text
        assert line in text


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (["nodez"], "'node'"),
        (["walet"], "'wallet'"),
        (["wallet", "sned"], "'send'"),
        (["reservations", "cancle"], "'cancel'"),
        (["flist", "converrt"], "'convert'"),
    ],
)
def test_unknown_commands_name_the_nearest(words: list[str], nearest: str) -> None:
    result = CliRunner().invoke(main, words)

    assert result.exit_code == 2
    assert f"did you mean {nearest}?" in result.stderr


def test_a_command_like_no_other_leads_to_the_help() -> None:
    result = CliRunner().invoke(main, ["xylophone"])

    assert result.exit_code == 2
    assert "see p2pgrid --help" in result.stderr or "see main --help" in result.stderr


def test_unknown_options_name_the_nearest() -> None:
    result = CliRunner().invoke(main, ["nodes", "list", "--memroy", "4G"])

    assert result.exit_code == 2
    assert "--memory" in result.stderr


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(main, ["--version"]).stdout.startswith("p2pgrid 0.")


def test_without_a_node_the_status_is_3_and_the_way_to_one_is_told() -> None:
    result = CliRunner().invoke(main, ["--data", "/nonexistent", "wallet", "show"])

    assert result.exit_code == 3
    assert "p2pgrid --data /nonexistent node run" in result.stderr


def test_the_data_directory_comes_from_the_environment() -> None:
    result = CliRunner().invoke(main, ["nodes", "list"], env={"P2PGRID_DATA": "/nonexistent"})

    assert "/nonexistent/control.sock" in result.stderr


def test_the_data_directory_may_stand_behind_the_verb() -> None:
    result = CliRunner().invoke(main, ["nodes", "list", "--data", "/nonexistent"])

    assert result.exit_code == 3
    assert "/nonexistent/control.sock" in result.stderr


def test_arguments_that_are_no_text_are_refused() -> None:
    for words in (["nodes", "show", "\udcff"], ["nodes", "list", "--country", "\udcff"]):
        result = CliRunner().invoke(main, ["--data", "/tmp", *words])
        assert result.exit_code == 2
        assert "is not UTF-8" in result.stderr


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("of all\nthings\x1b")

    monkeypatch.setattr(import_module("p2pgrid.cli.client").NodeClient, "get", fail)


def test_a_fault_of_ours_is_one_line(broken: None) -> None:
    result = CliRunner().invoke(main, ["nodes", "list"])

    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: p2pgrid itself failed: ZeroDivisionError: of all things\\x1b;")


def test_a_fault_of_ours_is_shown_in_full_to_those_who_look_for_it(broken: None) -> None:
    result = CliRunner().invoke(main, ["nodes", "list"], env={DEBUG: "1"})

    assert isinstance(result.exception, ZeroDivisionError)


def test_help_imports_nothing_slow() -> None:
    code = (
        "import sys, json\nfrom p2pgrid.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = json.loads(done.stdout.splitlines()[-1])

    assert "p2pgrid.cli" in imported
    assert not set(SLOW_MODULES) & set(imported)


def test_help_is_there_at_once() -> None:
    """Of processor time: by the clock it depends on what else the machine does."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "p2pgrid", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)

    assert 0 < min(seconds) < HELP_SECONDS_MAX


def test_a_reader_that_goes_away_is_no_fault() -> None:
    command = f"{sys.executable} -m p2pgrid completion bash | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    assert "failed" not in done.stderr
    assert "Traceback" not in done.stderr
