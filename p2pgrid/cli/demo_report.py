"""How the demo tells what it does: a line and its time for people, an object for programs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from p2pgrid.cli.output import print_json


class Report:
    """Shows each step and its time: a line for people, an object for programs."""

    def __init__(self, as_json: bool) -> None:
        from rich.console import Console
        from rich.markup import escape

        self.as_json = as_json
        self.seconds: dict[str, float] = {}
        self._console = Console(highlight=False, soft_wrap=True)
        self._escape = escape
        """Pages and logs come from outside: what looks like markup in them is not ours."""

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[dict[str, Any]]:
        """Time the block; it fills in what to tell: `text` for people, the rest for programs."""
        told: dict[str, Any] = {}
        start = time.monotonic()
        if self._console.is_terminal and not self.as_json:
            with self._console.status(f"{title} …"):
                yield told
        else:
            yield told
        seconds = self.seconds[name] = round(time.monotonic() - start, 3)
        text = told.pop("text", "")
        if self.as_json:
            print_json({"step": name, "seconds": seconds, **told})
        else:
            self._console.print(f"[green]✓[/] {seconds:6.2f} s  [bold]{title}[/]")
            for line in text.splitlines():
                self._console.print(f"[dim]            {self._escape(line)}[/]")

    def say(self, text: str) -> None:
        """Something for people only."""
        if not self.as_json:
            self._console.print(self._escape(text))

    def warn(self, text: str) -> None:
        """Something that went wrong and does not end the demo."""
        if not self.as_json:
            self._console.print(f"[yellow]{self._escape(text)}[/]")

    def done(self, text: str) -> None:
        """The last line: all went well."""
        total = sum(self.seconds.values())
        self._console.print(f"[green]✓[/] {total:6.2f} s  [bold]{self._escape(text)}[/]")
