"""What a request is answered with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Any


@dataclass(frozen=True, slots=True)
class Answer:
    """A JSON document with its status."""

    document: Json
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """The document as bytes."""
        return json.dumps(self.document, separators=(",", ":")).encode()


def error_answer(status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """What went wrong, as gridproxy says it."""
    return Answer({"error": message}, status, headers or {})
