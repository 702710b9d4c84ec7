"""Commands and files that help with typing mistakes."""

import difflib
from pathlib import Path
from typing import Any

import click


class NearestGroup(click.Group):
    """A group whose unknown commands name the nearest that exists."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click's, with a suggestion."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = _nearest(name, self.list_commands(ctx))
            hint = f"; did you mean {near!r}?" if near else f"; see {ctx.command_path} --help"
            raise click.UsageError(f"there is no command {name!r}{hint}", ctx)
        return super().resolve_command(ctx, args)


class ExistingFile(click.Path):
    """A file that is there; a name that is not there names the nearest that is."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Like click's, with a suggestion."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            near = _nearest_file(Path(value))
            if near is None or Path(value).exists():
                raise
            raise click.BadParameter(
                f"{error.message.rstrip('.')}; did you mean {str(near)!r}?", ctx, param
            ) from None


def _nearest(name: str, known: list[str]) -> str | None:
    by_lower = {one.casefold(): one for one in known}
    near = difflib.get_close_matches(name.casefold(), by_lower, n=1, cutoff=0.5)
    return by_lower[near[0]] if near else None


def _nearest_file(path: Path) -> Path | None:
    try:
        known = [one.name for one in path.parent.iterdir() if one.is_file()]
    except OSError:
        return None
    near = _nearest(path.name, known)
    return None if near is None else path.with_name(near)
