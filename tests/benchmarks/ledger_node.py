"""One process of the ledger's end-to-end benchmark: `python -m tests.benchmarks.ledger_node`.

witness DIRECTORY NAME         a witness; prints its address, ends with stdin
entry DIRECTORY COUNT ADDRESS… an entry node; prints {"seconds", "operations"} and ends

Every process makes the same genesis and the same keys from names.
"""

import json
import random
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import blake2b
from pathlib import Path

import trio
from nacl.signing import SigningKey

from p2pgrid import clock
from p2pgrid.ledger.service import LedgerService
from p2pgrid.model.genesis import FarmingPolicy, Genesis, PricingPolicy
from p2pgrid.model.ids import AccountId, NodeId
from p2pgrid.model.operation import NO_PREVIOUS, Operation, Transfer
from p2pgrid.net.libp2p import open_libp2p
from p2pgrid.net.network import Network
from p2pgrid.store.leveldb import open_leveldb
from p2pgrid.units import Amount, TimestampMs
from p2pgrid.wire.signed import NetworkId, sign

WITNESSES = 4
SUBMITTERS = 800
"""Operations submitted at once: four batches in the making."""
WARM_UP = 400
_CREATED = TimestampMs(1_700_000_000_000)


def key_of(name: str) -> SigningKey:
    """The same key for the same name, in every process."""
    return SigningKey(blake2b(name.encode(), digest_size=32).digest())


def public(name: str) -> bytes:
    """Its public half."""
    return bytes(key_of(name).verify_key)


def accounts(count: int) -> list[str]:
    """Names of accounts with a first balance."""
    return [f"account{number}" for number in range(count)]


def founded(count: int, witness_count: int = WITNESSES) -> Genesis:
    """A grid with so many accounts and witnesses."""
    return Genesis(
        name="bench",
        created_ms=_CREATED,
        nonce=bytes(16),
        witnesses=tuple(
            sorted((NodeId(public(f"witness{number}")), 1) for number in range(witness_count))
        ),
        balances=tuple(
            sorted((AccountId(public(name)), Amount(10**9)) for name in accounts(count))
        ),
        pricing=PricingPolicy(),
        farming=FarmingPolicy(),
        epoch_seconds=86_400,
        seeds=(),
    )


def transfers(count: int, network: NetworkId, fee: Amount) -> list[bytes]:
    """The first operation of each account: it pays the next one."""
    names = accounts(count)
    receivers = [AccountId(public(name)) for name in names]
    signed = []
    for number, name in enumerate(names):
        operation = Operation(
            account=receivers[number],
            sequence=0,
            previous=NO_PREVIOUS,
            time_ms=_CREATED,
            fee=fee,
            payload=Transfer(outputs=((receivers[(number + 1) % count], Amount(1000)),)),
        )
        signed.append(sign(operation, key_of(name), network).envelope)
    return signed


@asynccontextmanager
async def open_node(
    directory: str, name: str, genesis: Genesis
) -> AsyncGenerator[tuple[Network, LedgerService]]:
    """A full node with nothing but a ledger."""
    async with (
        open_libp2p(
            key=key_of(name),
            listen=["/ip4/127.0.0.1/tcp/0"],
            network_id=genesis.network,
            mdns=False,
        ) as network,
        open_leveldb(Path(directory), name="ledger") as store,
        trio.open_nursery() as nursery,
    ):
        service = LedgerService(
            genesis, network, store, key_of(name), clock.now_ms, random=random.Random(name)
        )
        nursery.start_soon(service.run)
        yield network, service
        nursery.cancel_scope.cancel()


async def witness(directory: str, name: str, count: str) -> None:
    """Vote until stdin ends."""
    async with open_node(directory, name, founded(int(count))) as (network, _):
        say({"address": network.addresses()[0]})
        await trio.to_thread.run_sync(_read_stdin)


def _read_stdin() -> None:
    sys.stdin.read()


async def entry(directory: str, count: str, *addresses: str) -> None:
    """Get all operations certified, and say how long that took."""
    genesis = founded(int(count))
    operations = transfers(int(count), genesis.network, genesis.pricing.fee)
    async with open_node(directory, "entry", genesis) as (network, service):
        for address in addresses:
            await network.connect(address)
        await trio.sleep(1)
        await submit_all(service, operations[:WARM_UP])
        started = time.perf_counter()
        await submit_all(service, operations[WARM_UP:])
        seconds = time.perf_counter() - started
    say({"seconds": seconds, "operations": len(operations) - WARM_UP})


async def submit_all(service: LedgerService, operations: Sequence[bytes]) -> None:
    """Submit them, SUBMITTERS at a time."""
    waiting = iter(operations)

    async def submit_some() -> None:
        for envelope in waiting:
            await service.submit(envelope)

    async with trio.open_nursery() as nursery:
        for _ in range(SUBMITTERS):
            nursery.start_soon(submit_some)


def say(what: object) -> None:
    """One line of JSON to the parent."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


ROLES: dict[str, Callable[..., Awaitable[None]]] = {"witness": witness, "entry": entry}

if __name__ == "__main__":
    trio.run(ROLES[sys.argv[1]], *sys.argv[2:])
