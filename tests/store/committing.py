"""A process that commits until it is killed: `python -m tests.store.committing DIRECTORY START`.

It prints each number after its commit returned, so a number on stdout must be on disk.
"""

import sys
from pathlib import Path

import trio

from p2pgrid.store.leveldb import LevelDbStore, open_leveldb

TASKS = 8


async def _commit_from(store: LevelDbStore, start: int) -> None:
    for number in range(start, start + 10**9, TASKS):
        key = number.to_bytes(8, "big")
        await store.commit([(b"a" + key, bytes(500)), (b"b" + key, bytes(500))])
        print(number, flush=True)  # noqa: T201 - the parent reads it


async def main() -> None:
    async with (
        open_leveldb(Path(sys.argv[1]), name="test") as store,
        trio.open_nursery() as nursery,
    ):
        for task in range(TASKS):
            nursery.start_soon(_commit_from, store, int(sys.argv[2]) + task)


if __name__ == "__main__":
    trio.run(main)
