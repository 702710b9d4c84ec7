"""Run benchmarks: `python -m tests.benchmarks [--json] [GROUP…]`.

A group is a module of this folder with a docstring and a function
`measure() -> Iterator[Measurement]`; without names all groups run. `explorer` is
every group whose name begins so, and how its records spread.
"""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType

import click

from p2pgrid.cli.parameters import Number
from tests import benchmarks
from tests.benchmarks.measurement import Measurement, json_line, table

_TOPICS = {"explorer": ("gossip",)}
"""Names that mean several groups: those that begin so, and these."""


def groups() -> dict[str, ModuleType]:
    """Every benchmark group by name."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    modules = {
        name: importlib.import_module(f"{benchmarks.__name__}.{name}")
        for name in names
        if name != "__main__" and not name.startswith("test_")
    }
    return {name: module for name, module in modules.items() if hasattr(module, "measure")}


def chosen_of(names: Sequence[str], known: Mapping[str, ModuleType]) -> list[ModuleType]:
    """The groups that the names mean, each once. Raises UsageError."""
    chosen: dict[str, ModuleType] = {}
    for name in names or known:
        means = [one for one in known if one == name or _is_of_topic(one, name)]
        if not means:
            there_are = ", ".join([*_TOPICS, *known])
            raise click.UsageError(f"no group {name!r}; there are: {there_are}")
        chosen |= {one: known[one] for one in means}
    return list(chosen.values())


def _is_of_topic(group: str, topic: str) -> bool:
    return topic in _TOPICS and (group.startswith(f"{topic}_") or group in _TOPICS[topic])


def measurements(
    chosen: list[ModuleType], *, as_json: bool, minutes: float | None
) -> Iterator[Measurement]:
    """Run one group after the other; says on stderr which, so that waiting is bearable."""
    for module in chosen:
        if not as_json:
            click.echo(f"{module.__name__}: {(module.__doc__ or '').splitlines()[0]}", err=True)
        is_timed = "minutes" in inspect.signature(module.measure).parameters
        yield from module.measure(minutes) if is_timed and minutes else module.measure()


def told_of(known: Mapping[str, ModuleType]) -> str:
    """What the groups measure, need and take, for the help: what they say of themselves."""
    parts = ["\b\nGroups; without one, all of them:"]
    for name, module in known.items():
        lines = "".join(
            f"\n    {line}" for line in (inspect.getdoc(module) or "").splitlines() if line
        )
        parts.append(f"\b\n  {name}{lines}")
    for topic, others in _TOPICS.items():
        means = [name for name in known if name.startswith(f"{topic}_") or name in others]
        parts.append(f"\b\n  {topic}\n    {', '.join(means)}.")
    return "\n\n".join(parts)


@click.command(epilog=told_of(groups()), context_settings={"max_content_width": 110})
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option("--minutes", type=Number(3, 24 * 60), help="How long explorer_memory goes on; 10.")
@click.argument("names", metavar="[GROUP]...", nargs=-1)
def main(names: tuple[str, ...], *, as_json: bool, minutes: float | None) -> None:
    """Measure p2pgrid against bare references of the same run.

    On stderr it says which group is under way.
    """
    found = measurements(chosen_of(names, groups()), as_json=as_json, minutes=minutes)
    if not as_json:
        click.echo(table(found))
        return
    for one in found:
        click.echo(json_line(one))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
