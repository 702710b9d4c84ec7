"""Habits that no linter of ours checks. Every rule names the remedy."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "p2pgrid"

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
VAGUE_NAMES = {"base", "common", "core", "handler", "helper", "manager", "misc", "util", "utils"}
VAGUE_ENDINGS = ("Manager", "Helper", "Handler", "Util", "Utils")
LIMITED_CALLS = {"move_on_after", "fail_after", "open_memory_channel"}
LIMITING_ARGUMENTS = {"timeout", "max_buffer_size"}
CLAIMING_NAMES = ("assert", "check", "expect", "hold", "run_state_machine", "validate")
EVASIONS = {"skip", "skipif", "importorskip", "xfail"}
TEXT_SUFFIXES = {"", ".py", ".md", ".toml", ".cddl", ".json", ".hex", ".service", ".txt", ".sh"}

# Modules without a namesake test, and the test that holds them. Entry points and shells only.
# Several modules that only make sense together have one test together.
TESTED_ELSEWHERE = {
    "api/services.py": "api/test_app.py",
    "cli/demo*.py": "integration/test_demo.py",
    "cli/simulate_ledger.py": "cli/test_simulate.py",
    "flist/convert.py": "flist/test_sources.py",
    "flist/database.py": "flist/test_hostile_flists.py",
    "flist/directory.py": "flist/test_unpack.py",
    "flist/documents.py": "flist/test_image_config.py",
    "flist/fl_reader.py": "flist/test_fl.py",
    "flist/layers.py": "flist/test_hostile_layers.py",
    "flist/oci.py": "flist/test_sources.py",
    "flist/opening.py": "flist/test_sources.py",
    "flist/packing.py": "flist/test_unpack.py",
    "flist/tar_headers.py": "flist/test_tar.py",
    "ledger/answers.py": "ledger/test_messages.py",
    "ledger/acknowledging.py": "ledger/test_rotation.py",
    "ledger/epoch_[fl]*ing.py": "ledger/test_rotation.py",
    "ledger/epoch_messages.py": "ledger/test_epoch_leader.py",
    "ledger/epoch_rules.py": "ledger/test_epoch_voter.py",
    "ledger/quorum.py": "ledger/test_service.py",
    "ledger/spending.py": "ledger/test_service.py",
    "ledger/voting.py": "ledger/test_ballot.py",
    "model/certificate.py": "ledger/test_certificate.py",
    "model/epoch.py": "ledger/test_epoch_chain.py",
    "net/address_book.py": "net/test_address.py",
    "net/bulk_socket.py": "contracts/test_network.py",
    "net/inbox.py": "contracts/test_network.py",
    "net/libp2p*.py": "contracts/test_network.py",
    "net/memory*.py": "contracts/test_network.py",
    "net/peer_events.py": "contracts/test_network.py",
    "net/spread_driver.py": "contracts/test_network_gossip.py",
    "net/spread_peer.py": "net/test_spreading.py",
    "net/scopes.py": "contracts/test_network.py",
    "simulation/array_*.py": "simulation/test_array_run.py",
    "simulation/coroutines.py": "simulation/test_scenarios.py",
    "simulation/ledger_*.py": "simulation/test_ledger.py",
    "simulation/liars.py": "simulation/test_scenarios.py",
    "simulation/node.py": "simulation/test_scenarios.py",
    "simulation/result.py": "simulation/test_scenarios.py",
    "simulation/run.py": "simulation/test_scenarios.py",
    "simulation/world.py": "simulation/test_scenarios.py",
}

# Written in two parts, so that this list is not its own finding.
BANNED_WORDS = {
    "TO" + "DO": "write an issue, or do it",
    "FIX" + "ME": "write an issue, or fix it",
    "XX" + "X": "say what is wrong, in a sentence",
    "pypi" + ".org": "which index is used is the machine's business",
    "python" + "hosted.org": "which index is used is the machine's business",
    "deb.debian" + ".org": "which mirror is used is the machine's business",
    "registry.npmjs" + ".org": "which registry is used is the machine's business",
    str(ROOT): "find files from __file__ or the current folder",
}


def tracked_files() -> list[Path]:
    """What git has, and what it would take: everything but the ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    paths = (ROOT / os.fsdecode(name) for name in listed.stdout.split(b"\0") if name)
    return sorted(path for path in paths if path.is_file())


TRACKED = tracked_files()
PYTHON = [path for path in TRACKED if path.suffix == ".py"]
MODULES = [path for path in PYTHON if path.is_relative_to(PACKAGE)]
TESTS = [path for path in PYTHON if path.is_relative_to(ROOT / "tests")]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(path: Path) -> Iterator[Function]:
    """Every function, methods and nested ones too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def at(path: Path, line: int = 1) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def hold(rule: str, *, remedy: str, broken: Iterator[str]) -> None:
    found = list(broken)
    if found:
        pytest.fail(f"{rule}; {remedy}:\n  " + "\n  ".join(found), pytrace=False)


def test_files_fit_in_one_reading() -> None:
    hold(
        f"a file has at most {FILE_LINES_MAX} lines",
        remedy="split it by what it is about",
        broken=(
            f"{at(path)} has {lines}"
            for path in [*PYTHON, *(ROOT / "scripts").iterdir()]
            if (lines := len(path.read_text().splitlines())) > FILE_LINES_MAX
        ),
    )


def test_functions_fit_on_a_screen() -> None:
    def lines_of(function: Function) -> int:
        has_text = ast.get_docstring(function) and function.body[1:]
        first = function.body[1] if has_text else function
        return (function.end_lineno or 0) - first.lineno + 1

    hold(
        f"a function has at most {FUNCTION_LINES_MAX} lines",
        remedy="move the loops into functions of their own, keep the decisions here",
        broken=(
            f"{at(path, function.lineno)} {function.name} has {lines_of(function)}"
            for path in PYTHON
            for function in functions(path)
            if lines_of(function) > FUNCTION_LINES_MAX
        ),
    )


def test_names_say_what_is_inside() -> None:
    def vague() -> Iterator[str]:
        for path in MODULES:
            if VAGUE_NAMES & {*path.stem.split("_"), path.parent.name}:
                yield at(path)
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.ClassDef) and node.name.endswith(VAGUE_ENDINGS):
                    yield f"{at(path, node.lineno)} {node.name}"

    hold("a name says what is inside", remedy="name the thing, not its role", broken=vague())


def test_limits_have_a_name() -> None:
    """`move_on_after(5)` hides a decision; `move_on_after(limits.DIAL_SECONDS_MAX)` shows it."""

    def is_number(node: ast.expr | None) -> bool:
        return (
            isinstance(node, ast.Constant)
            and isinstance(node.value, int | float)
            and bool(node.value)
        )

    def literals() -> Iterator[str]:
        for path in MODULES:
            for node in ast.walk(tree(path)):
                if not isinstance(node, ast.Call):
                    continue
                called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                if called in LIMITED_CALLS and node.args and is_number(node.args[0]):
                    yield f"{at(path, node.lineno)} {called}"
                for keyword in node.keywords:
                    if keyword.arg in LIMITING_ARGUMENTS and is_number(keyword.value):
                        yield f"{at(path, node.lineno)} {keyword.arg}="

    hold("a limit has a name", remedy="give it one in limits/, with its reason", broken=literals())


def does_something(function: Function) -> bool:
    """Whether there is more than a docstring and `...`, which is all that a Protocol has."""
    return not all(
        isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
        for part in function.body
    )


def without_namesake() -> Iterator[tuple[str, str]]:
    """Modules that do something and have no test of their name: (module, that test)."""
    for path in MODULES:
        stem = path.parent.name if path.stem == "__init__" else path.stem.strip("_")
        mirror = ROOT / "tests" / path.relative_to(PACKAGE).with_name(f"test_{stem}.py")
        if any(map(does_something, functions(path))) and not mirror.exists():
            yield str(path.relative_to(PACKAGE)), str(mirror.relative_to(ROOT))


def test_every_module_is_tested_by_its_namesake() -> None:
    hold(
        "every module is tested by its namesake",
        remedy="write the test, or name in TESTED_ELSEWHERE the test that holds it",
        broken=(
            f"{name} needs {mirror}"
            for name, mirror in without_namesake()
            if not any(fnmatch(name, pattern) for pattern in TESTED_ELSEWHERE)
        ),
    )


def test_what_is_tested_elsewhere_is_tested_there() -> None:
    hold(
        "TESTED_ELSEWHERE names tests of modules that have none of their own",
        remedy="take the line out, or name a test that is there",
        broken=(
            pattern
            for pattern, test in TESTED_ELSEWHERE.items()
            if not (ROOT / "tests" / test).exists()
            or not any(fnmatch(name, pattern) for name, _ in without_namesake())
        ),
    )


def test_banned_words() -> None:
    def found() -> Iterator[str]:
        for path in TRACKED:
            if path.name in {"uv.lock", "LICENSE"} or path.suffix not in TEXT_SUFFIXES:
                continue
            text = path.read_text()
            for word, remedy in BANNED_WORDS.items():
                for match in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text):
                    line = text.count("\n", 0, match.start()) + 1
                    yield f"{at(path, line)} {word}: {remedy}"

    hold("some words do not belong here", remedy="as each line says", broken=found())


def constants(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Line and name of every constant of a module, and whether a docstring follows it."""
    body = tree(path).body
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            value = following.value if isinstance(following, ast.Expr) else None
            says_why = isinstance(value, ast.Constant) and isinstance(value.value, str)
            yield node.lineno, ast.unparse(target), says_why


def test_every_limit_says_why_and_is_used() -> None:
    pages = [path for path in MODULES if "limits" in {path.stem, path.parent.name}]
    used = Counter(
        name for path in PYTHON for name in re.findall(r"\b[A-Z][A-Z0-9_]+\b", path.read_text())
    )

    def broken() -> Iterator[str]:
        for path in pages:
            for line, name, says_why in constants(path):
                if not says_why:
                    yield f"{at(path, line)} {name} has no reason below it"
                if used[name] < 2:
                    yield f"{at(path, line)} {name} is not used"

    hold("a limit says why, and limits something", remedy="write it, or remove it", broken=broken())


def test_ignored_findings_have_a_reason() -> None:
    """`# noqa: S310` alone says nothing; `# noqa: S310 - the address is a constant` does."""
    marker = re.compile(r"#\s*(?:noqa(?::\s*[A-Z0-9, ]+)?|type:\s*ignore(?:\[[^\]]*\])?)(.*)$")

    def bare() -> Iterator[str]:
        for path in PYTHON:
            lines = path.read_text().splitlines()
            for number, line in enumerate(lines):
                match = marker.search(line)
                above = lines[number - 1].strip() if number else ""
                if match and not re.search(r"[a-z]{3}", match[1]) and not above.startswith("#"):
                    yield at(path, number + 1)

    hold(
        "who ignores a finding says why",
        remedy="add ` - the reason` behind it, or a comment above it",
        broken=bare(),
    )


def imported(path: Path) -> Iterator[str]:
    """The top-level names that a file imports, anywhere in it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def declared(*, with_groups: bool) -> set[str]:
    """Distributions that pyproject.toml names, in lower case."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = list(project["project"]["dependencies"])
    for extra in project["project"]["optional-dependencies"].values():
        wanted += extra
    if with_groups:
        for group in project["dependency-groups"].values():
            wanted += [one for one in group if isinstance(one, str)]
    return {re.split(r"[^A-Za-z0-9_.-]", one)[0].lower().replace("_", "-") for one in wanted}


def test_what_is_imported_is_declared() -> None:
    providers = packages_distributions()
    ours = {"p2pgrid", "tests", *sys.stdlib_module_names}

    def undeclared() -> Iterator[str]:
        for path in PYTHON:
            allowed = declared(with_groups=path not in MODULES)
            for name in sorted({*imported(path)} - ours):
                given_by = {one.lower().replace("_", "-") for one in providers.get(name, [])}
                if not given_by & allowed:
                    yield f"{at(path)} {name}"

    hold(
        "we import what pyproject.toml declares",
        remedy="declare it there with its reason, or do without",
        broken=undeclared(),
    )


def claims_something(function: Function) -> bool:
    """Whether a test has an assertion, or calls what has one by its name."""
    for node in ast.walk(function):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Assert) or called.endswith("raises"):
            return True
        if called.rpartition(".")[2].startswith(CLAIMING_NAMES):
            return True
    return False


def test_tests_claim_something() -> None:
    hold(
        "a test claims something",
        remedy="assert what must be so",
        broken=(
            f"{at(path, function.lineno)} {function.name}"
            for path in TESTS
            for function in functions(path)
            if function.name.startswith("test_") and not claims_something(function)
        ),
    )


def test_tests_do_not_step_aside() -> None:
    hold(
        "a test is not skipped",
        remedy="fail, with the hint what to install, where something is missing",
        broken=(
            f"{at(path, node.lineno)} {ast.unparse(node)}"
            for path in TESTS
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Attribute)
            and node.attr in EVASIONS
            and ast.unparse(node.value) in {"pytest", "pytest.mark"}
        ),
    )


def test_scripts_are_executable_and_say_what_they_do() -> None:
    scripts = [ROOT / ".ci" / "run", *(ROOT / "scripts").iterdir()]
    hold(
        "a script runs, and its second line says what it does",
        remedy="chmod +x, and a comment below the first line",
        broken=(
            at(path)
            for path in scripts
            if path.read_text().startswith("#!")
            and not (os.access(path, os.X_OK) and path.read_text().splitlines()[1][0] in '#"')
        ),
    )
