"""Holders of chunks and who fetches from them, each a process in a namespace of its own.

`python -m tests.integration.chunk_swarm DIRECTORY NAME=NAMESPACE=HOST…` forks them, so that
libp2p is imported once, and prints what became of two transfers: from `good` alone, and from
all, of whom `dying` is killed in the middle.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import TextIO

import trio
from nacl.signing import SigningKey

from p2pgrid.chunks.chunk_store import Blob, ChunkStore
from p2pgrid.chunks.download import Progress
from p2pgrid.chunks.exchange import open_exchange
from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.chunks.pack_store import open_chunk_store
from p2pgrid.chunks.verification import verify_chunks
from p2pgrid.limits.chunks import CHUNK_BYTES
from p2pgrid.model.ids import ChunkId, FlistId, NetworkId
from p2pgrid.net.libp2p import open_libp2p
from p2pgrid.net.network import Network
from p2pgrid.store.memory import MemoryStore
from tests.chunks.blobs import blob
from tests.integration.shaped_links import enter

BLOB_COUNT = 60
PORT = 4001
KILLED_AT = 0.2  # of all chunks
_FLIST = FlistId(bytes(32))
_GRID = NetworkId(bytes(16))
_LIE_BELOW = 64  # of 256 first bytes of an id


class SometimesLying(MemoryChunkStore):
    """A quarter of what it gives is wrong."""

    async def get_many(self, chunks: Sequence[ChunkId]) -> tuple[bytes | None, ...]:
        honest = await super().get_many(chunks)
        return tuple(
            data and (bytes(len(data)) if chunk[0] < _LIE_BELOW else data)
            for chunk, data in zip(chunks, honest, strict=True)
        )


def main(directory: str, *places: str) -> None:
    """Run both transfers, and print {"alone": …, "together": …}."""
    rooms = {name: (space, host) for name, space, host in (one.split("=") for one in places)}
    blobs = [blob(number, CHUNK_BYTES + 46) for number in range(BLOB_COUNT)]
    children: dict[str, int] = {}
    try:
        addresses: dict[str, str] = {}
        for name in [one for one in rooms if one != "puller"]:
            children[name], said = _fork(*rooms[name], _holder(name, blobs))
            addresses[name] = said.readline().strip()
        pull = _puller(Path(directory) / "alone", [addresses["good"]], blobs)
        children["alone"], said = _fork(*rooms["puller"], pull)
        alone = json.loads(said.readlines()[-1])
        pull = _puller(Path(directory) / "together", [*addresses.values()], blobs)
        children["together"], said = _fork(*rooms["puller"], pull)
        line = ""
        for line in said:
            if "done" in line and json.loads(line)["done"] >= KILLED_AT * BLOB_COUNT:
                _end(children, "dying")
        print(json.dumps({"alone": alone, "together": json.loads(line)}))  # noqa: T201 - the answer
    finally:
        for name in list(children):
            _end(children, name)


def _end(children: dict[str, int], name: str) -> None:
    pid = children.pop(name, None)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


_Say = Callable[[object], None]


def _fork(namespace: str, host: str, run: Callable[[str, _Say], None]) -> tuple[int, TextIO]:
    """A process in a namespace; gives its id, and what it says."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, os.fdopen(reading)
    status = 1
    try:
        enter(namespace)
        run(host, lambda what: _write(writing, what))
        status = 0
    finally:
        os._exit(status)


def _write(pipe: int, what: object) -> None:
    text = what if isinstance(what, str) else json.dumps(what)
    os.write(pipe, f"{text}\n".encode())


def _holder(name: str, blobs: Sequence[Blob]) -> Callable[[str, _Say], None]:
    async def hold(host: str, say: _Say) -> None:
        store = SometimesLying() if name == "lying" else MemoryChunkStore()
        await store.put(blobs)
        async with _network(host) as network, open_exchange(network, store):
            say(network.addresses()[0])
            await trio.sleep_forever()

    return lambda host, say: trio.run(hold, host, say)


def _puller(
    directory: Path, holders: Sequence[str], blobs: Sequence[Blob]
) -> Callable[[str, _Say], None]:
    async def pull(host: str, say: _Say) -> None:
        async with (
            _network(host) as network,
            open_chunk_store(directory, MemoryStore()) as store,
            open_exchange(network, store) as exchange,
        ):
            nodes = [await network.connect(address) for address in holders]
            started = time.monotonic()
            given = await exchange.fetch_chunks(
                _FLIST, [one.chunk for one in blobs], nodes, lambda told: _tell(told, say)
            )
            seconds = time.monotonic() - started
            is_whole = await _is_whole(store, blobs)
            names = {
                node: address.split("/")[2] for node, address in zip(nodes, holders, strict=True)
            }
            say(
                {
                    "seconds": seconds,
                    "is_whole": is_whole,
                    "given_bytes": {names[node]: count for node, count in given.items()},
                }
            )

    return lambda host, say: trio.run(pull, host, say)


def _tell(told: Progress, say: _Say) -> None:
    say({"done": told.done_count})


async def _is_whole(store: ChunkStore, blobs: Sequence[Blob]) -> bool:
    found = await verify_chunks(store, lambda *_: None)
    return found.is_sound and all(store.has(one.chunk) for one in blobs)


def _network(host: str) -> AbstractAsyncContextManager[Network]:
    return open_libp2p(
        key=SigningKey.generate(),
        listen=[f"/ip4/{host}/tcp/{PORT}"],
        network_id=_GRID,
        mdns=False,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
