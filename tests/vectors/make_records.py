"""Make `records/*.json`: one instance of every kind of record, its bytes and its id.

Once a grid lives, no file of these may change: old records must keep their ids.
`python -m tests.vectors.make_records` adds what is missing; to change a format on
purpose, delete its file first.
"""

import json
import warnings
from dataclasses import fields, is_dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from p2pgrid.wire.codec import encode, record_classes
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import NetworkId, record_id
from tests.strategies import values
from tests.wire.travelling import travelling_classes

FOLDER = Path(__file__).parent / "records"
NETWORK = NetworkId(bytes(range(16)))


def as_json(value: Any) -> Any:
    """What a value says, field by field, so that no two fields can trade places unseen."""
    if is_dataclass(value):
        said = {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
        return {type(value).__name__: said}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, tuple):
        return [as_json(one) for one in value]
    return value


def vector(kind: RecordKind, record: object) -> dict[str, Any]:
    """What a file holds."""
    body = encode(record)
    identity = record_id(kind, body, NETWORK)
    return {"record": as_json(record), "body": body.hex(), "id": identity.hex()}


def path_of(kind: RecordKind) -> Path:
    """The file of one kind."""
    return FOLDER / f"{kind.name.lower()}.json"


def main() -> None:
    """Write the files that are missing."""
    warnings.simplefilter("ignore")  # hypothesis wants `example()` to be used by hand, as here
    travelling_classes()
    for kind, cls in record_classes().items():
        if not path_of(kind).exists():
            richest = max((values(cls).example() for _ in range(30)), key=_variety)
            path_of(kind).write_text(json.dumps(vector(kind, richest), indent=1) + "\n")


def _variety(record: object) -> tuple[int, int]:
    body = encode(record)
    return (len(body) < 2000, len(set(body)))


if __name__ == "__main__":
    main()
