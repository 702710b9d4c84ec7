"""Chunks between two processes on loopback, disk to disk, encrypted, verified and durable."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from p2pgrid.chunks.chunk_store import chunk_id
from p2pgrid.units import GIB, MIB
from tests.benchmarks.chunk_peer import BLOB_BYTES
from tests.benchmarks.measurement import Measurement, compare

CHUNK_COUNT = 512  # 256 MiB: a second or more, and starting up is not counted
PAIRS = 2  # ours and the reference in turn; the better of each, since the machine is shared
TRANSFER_TARGET = 0.4  # hashing alone halves what bare sockets do on one core
CPU_TARGET = 0.5  # the rest is decryption, checksums of the packs, and Python for each frame
HASHED_BYTES = 128 * MIB  # to know what hashing alone costs

_TOTAL_BYTES = CHUNK_COUNT * BLOB_BYTES


def measure() -> Iterator[Measurement]:
    """Transfer rate and the receiver's CPU time, both against bare TCP."""
    with tempfile.TemporaryDirectory(prefix="p2pgrid-bench-") as name:
        ours, bare = [], []
        with _chunk_server(Path(name)) as address, _file_server(Path(name)) as port:
            for number in range(PAIRS):
                target = Path(name) / f"fetched-{number}"
                ours.append(run_peer("fetch", str(target), str(CHUNK_COUNT), address))
                bare.append(run_peer("receive", str(target / "bare"), port))
        seconds = min(one["seconds"] for one in ours)
        cpu_seconds = min(one["cpu_seconds"] for one in ours)
        bare_seconds = min(one["seconds"] for one in bare)
        bare_cpu_seconds = min(one["cpu_seconds"] for one in bare)
    yield compare(
        "chunks.transfer",
        _TOTAL_BYTES / seconds / 1e6,
        "MB/s",
        reference=("bare trio TCP, file to file", _TOTAL_BYTES / bare_seconds / 1e6),
        target=TRANSFER_TARGET,
    )
    yield compare(
        "chunks.receiver_cpu",
        cpu_seconds / _TOTAL_BYTES * GIB,
        "CPU-s/GiB",
        reference=(
            "bare trio TCP to file, and blake2b",
            bare_cpu_seconds / _TOTAL_BYTES * GIB + _hash_seconds() / HASHED_BYTES * GIB,
        ),
        target=CPU_TARGET,
        is_less_better=True,
    )


def _hash_seconds() -> float:
    """CPU time of blake2b-256 over HASHED_BYTES, a chunk at a time."""
    data = os.urandom(BLOB_BYTES)
    started = time.process_time()
    for _ in range(HASHED_BYTES // BLOB_BYTES):
        chunk_id(data)
    return time.process_time() - started


@contextmanager
def _chunk_server(directory: Path) -> Iterator[str]:
    with running_peer("serve", str(directory / "served"), str(CHUNK_COUNT)) as said:
        yield said["address"]


@contextmanager
def _file_server(directory: Path) -> Iterator[str]:
    source = random_file(directory / "source", CHUNK_COUNT)
    with running_peer("send", str(source)) as said:
        yield str(said["port"])


def random_file(path: Path, chunk_count: int) -> Path:
    """A file as long as so many chunks."""
    with path.open("wb") as file:
        for _ in range(chunk_count):
            file.write(os.urandom(BLOB_BYTES))
    return path


@contextmanager
def running_peer(*arguments: str, before: Sequence[str] = ()) -> Iterator[dict[str, str]]:
    """A serving `chunk_peer`; gives what it says. `before` is what stands before its command."""
    with subprocess.Popen(
        [*before, *_command(*arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        assert process.stdin is not None
        process.stdin.close()


def run_peer(*arguments: str, before: Sequence[str] = ()) -> dict[str, float]:
    """What a receiving `chunk_peer` took."""
    command = [*before, *_command(*arguments)]
    found: dict[str, float] = json.loads(subprocess.check_output(command))
    return found


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.chunk_peer", *arguments]
