"""One of two processes that move chunks or bare bytes: `python -m tests.benchmarks.chunk_peer`.

serve DIRECTORY COUNT [HOST]      fill a chunk store, serve it, print where; ends with stdin
fetch DIRECTORY COUNT ADDRESS…    fetch it all, print {"seconds", "cpu_seconds"}
send FILE                         serve the bytes of a file on a bare trio TCP socket
receive FILE PORT                 take them into a file, print the same
"""

import json
import os
import random
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio
from nacl.signing import SigningKey

from p2pgrid.chunks.chunk_store import Blob, ChunkStore, chunk_id
from p2pgrid.chunks.exchange import ChunkExchange, open_exchange
from p2pgrid.chunks.pack_store import open_chunk_store
from p2pgrid.limits.chunks import CHUNK_BYTES
from p2pgrid.model.ids import FlistId
from p2pgrid.net.libp2p import open_libp2p
from p2pgrid.net.network import Network
from p2pgrid.store.leveldb import open_leveldb
from p2pgrid.units import MIB
from p2pgrid.wire.signed import NetworkId

BLOB_BYTES = CHUNK_BYTES + 46  # what snappy and AES make of a chunk of random bytes
BLOBS_AT_ONCE = 16
GRID = NetworkId(bytes(16))
FLIST = FlistId(bytes(32))


def blob(number: int) -> Blob:
    """The same in every process."""
    data = random.Random(number).randbytes(BLOB_BYTES)
    return Blob(chunk_id(data), data)


@asynccontextmanager
async def open_node(
    directory: Path, host: str = "127.0.0.1"
) -> AsyncGenerator[tuple[Network, ChunkStore, ChunkExchange]]:
    """A node with nothing but chunks."""
    async with (
        open_libp2p(
            key=SigningKey.generate(), listen=[f"/ip4/{host}/tcp/0"], network_id=GRID, mdns=False
        ) as network,
        open_leveldb(directory, name="chunks") as store,
        open_chunk_store(directory / "chunks", store) as chunks,
        open_exchange(network, chunks) as exchange,
    ):
        yield network, chunks, exchange


async def serve(directory: str, count: str, host: str = "127.0.0.1") -> None:
    async with open_node(Path(directory), host) as (network, chunks, _):
        for start in range(0, int(count), BLOBS_AT_ONCE):
            await chunks.put([blob(start + offset) for offset in range(BLOBS_AT_ONCE)])
        say({"address": network.addresses()[0]})
        await stdin_ended()


async def fetch(directory: str, count: str, *addresses: str) -> None:
    wanted = [blob(number).chunk for number in range(int(count))]
    async with open_node(Path(directory)) as (network, chunks, exchange):
        holders = [await network.connect(address) for address in addresses]
        started, cpu_started = time.perf_counter(), time.process_time()
        await exchange.fetch_chunks(FLIST, wanted, holders)
        say_cost(started, cpu_started)
        assert all(chunks.has(chunk) for chunk in wanted)


async def send(file: str) -> None:
    async def serve_file(stream: trio.SocketStream) -> None:
        with Path(file).open("rb", buffering=0) as source:  # noqa: ASYNC230 - as bare as can be
            while data := source.read(MIB):
                await stream.send_all(data)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve_file, listeners)
        say({"port": listeners[0].socket.getsockname()[1]})
        await stdin_ended()
        nursery.cancel_scope.cancel()


async def receive(file: str, port: str) -> None:
    started, cpu_started = time.perf_counter(), time.process_time()
    stream = await trio.open_tcp_stream("127.0.0.1", int(port))
    with Path(file).open("wb", buffering=0) as target:  # noqa: ASYNC230 - as bare as can be
        async for data in stream:
            target.write(data)
        os.fdatasync(target.fileno())
    say_cost(started, cpu_started)


def say_cost(started: float, cpu_started: float) -> None:
    """Print what it took since these readings of the clocks."""
    say(
        {
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - cpu_started,
        }
    )


def say(what: object) -> None:
    """One JSON line to the process that started us."""
    print(json.dumps(what), flush=True)  # noqa: T201 - that is the protocol


async def stdin_ended() -> None:
    """Wait until the process that started us has no more use for us."""
    await trio.to_thread.run_sync(_read_stdin)


def _read_stdin() -> None:
    sys.stdin.read()


ROLES: dict[str, Callable[..., Awaitable[None]]] = {
    "serve": serve,
    "fetch": fetch,
    "send": send,
    "receive": receive,
}

if __name__ == "__main__":
    trio.run(ROLES[sys.argv[1]], *sys.argv[2:])
