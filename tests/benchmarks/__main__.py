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


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option("--minutes", type=float, help="How long what takes minutes goes on.")
@click.argument("names", metavar="[GROUP]...", nargs=-1)
def main(names: tuple[str, ...], *, as_json: bool, minutes: float | None) -> None:
    """Measure p2pgrid against bare references of the same run."""
    found = measurements(chosen_of(names, groups()), as_json=as_json, minutes=minutes)
    if not as_json:
        click.echo(table(found))
        return
    for one in found:
        click.echo(json_line(one))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
