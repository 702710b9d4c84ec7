"""A node that gives the answers it was told to, and remembers what it was asked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner, Result

from p2pgrid.errors import GridError, NotFound

Call = tuple[str, dict[str, Any]]


@dataclass
class FakeClient:
    """Stands in for `NodeClient`: an answer for each path, an error where that is raised."""

    answers: dict[str, Any] = field(default_factory=dict)
    data: Path = Path("/nonexistent")
    calls: list[Call] = field(default_factory=list)

    def get(self, path: str, **query: Any) -> Any:
        return self._answer(path, query)

    def post(self, path: str, body: Any = None) -> Any:
        return self._answer(path, body or {})

    def stream(self, path: str, body: Any = None) -> Iterator[dict[str, Any]]:
        yield {"progress": {"phase": "convert", "done": 1, "total": 2}}
        yield {"result": self._answer(path, body or {})}

    def read(self, path: str, **query: Any) -> tuple[bytes, int]:
        log: bytes = self._answer(path, query)
        return log[query.get("offset", 0) :], len(log)

    def read_posted(self, path: str, body: Any) -> bytes:
        answer: bytes | Callable[[Any], bytes] = self._answer(path, body)
        return answer if isinstance(answer, bytes) else answer(body)

    def _answer(self, path: str, said: dict[str, Any]) -> Any:
        self.calls.append((path, said))
        answer = self.answers.get(path, NotFound(f"nothing at {path}"))
        if isinstance(answer, list) and answer and callable(answer[0]):
            answer = answer.pop(0)()
        if isinstance(answer, GridError):
            raise answer
        return answer


def run(
    command: click.Command, *words: str, client: FakeClient | None = None, typed: str | None = None
) -> Result:
    """One command as a person gives it; what goes to stderr is beside what goes to stdout."""
    return CliRunner().invoke(command, words, obj=client or FakeClient(), input=typed)
