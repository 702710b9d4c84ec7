"""Run benchmarks: `python -m tests.benchmarks [--json] [GROUP…]`.

A group is a module of this folder with a docstring and a function
`measure() -> Iterator[Measurement]`; without names all groups run.
"""

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from types import ModuleType

import click

from tests import benchmarks
from tests.benchmarks.measurement import Measurement, json_line, table


def groups() -> dict[str, ModuleType]:
    """Every benchmark group by name."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    modules = {
        name: importlib.import_module(f"{benchmarks.__name__}.{name}")
        for name in names
        if name != "__main__" and not name.startswith("test_")
    }
    return {name: module for name, module in modules.items() if hasattr(module, "measure")}


def measurements(chosen: list[ModuleType], *, as_json: bool) -> Iterator[Measurement]:
    """Run one group after the other; says on stderr which, so that waiting is bearable."""
    for module in chosen:
        if not as_json:
            click.echo(f"{module.__name__}: {(module.__doc__ or '').splitlines()[0]}", err=True)
        yield from module.measure()


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.argument("names", metavar="[GROUP]...", nargs=-1)
def main(names: tuple[str, ...], *, as_json: bool) -> None:
    """Measure p2pgrid against bare references of the same run."""
    known = groups()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.UsageError(f"no group {unknown[0]!r}; there are: {', '.join(known)}")
    found = measurements([known[name] for name in names or known], as_json=as_json)
    if not as_json:
        click.echo(table(found))
        return
    for one in found:
        click.echo(json_line(one))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
