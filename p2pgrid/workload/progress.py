"""How far a container has come, on disk: written before it is acted upon.

What is missing or damaged reads as "nothing was started", the state from which everything is made
anew; so no half-written file can stop a node.
"""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from p2pgrid.durable import replace_file


class Stage(StrEnum):
    """What must be assumed about a container."""

    BUILDING = "building"
    """Parts of it may exist; it was never up."""
    STARTED = "started"
    """It runs, or ran until the machine or it ended unseen."""
    ENDED = "ended"
    """It ended and was not, or not yet, started again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is known about one container."""

    stage: Stage = Stage.BUILDING
    boot: str = ""
    """Which boot of the machine it was started in."""
    exit_code: int | None = None
    cpu_ns: int = 0
    """Used by its earlier runs."""


def boot_id() -> str:
    """Differs after each boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def save_progress(file: Path, progress: Progress) -> None:
    """Durable when this returns."""
    replace_file(file, json.dumps(asdict(progress)).encode())


def load_progress(file: Path) -> Progress:
    """What was saved last; a fresh one when there is nothing that makes sense."""
    try:
        found = json.loads(file.read_text())
        code, cpu_ns = found["exit_code"], found["cpu_ns"]
        if not isinstance(cpu_ns, int) or not (code is None or isinstance(code, int)):
            return Progress()
        return Progress(
            stage=Stage(found["stage"]), boot=str(found["boot"]), exit_code=code, cpu_ns=cpu_ns
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return Progress()
