"""A light peer pays through any full peer, believes only proofs, never signs twice for a place."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from p2pgrid.errors import InsufficientBalance, Unreachable
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.certificate import verify_batch
from p2pgrid.ledger.messages import AccountReport, EscrowReport
from p2pgrid.ledger.remote import RemoteLedger
from p2pgrid.ledger.service import LedgerService
from p2pgrid.model.ids import NodeId
from p2pgrid.model.operation import CancelEscrow
from p2pgrid.net.network import Method
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from p2pgrid.wire.codec import encode
from tests.ledger.grids import (
    FEE,
    START,
    Chain,
    account_of,
    certify,
    escrow_terms,
    genesis_of,
    key_of,
    node_of,
    pay,
    witness_names,
)
from tests.ledger.nodes import World


@asynccontextmanager
async def opened(
    world: World, names: Sequence[str]
) -> AsyncGenerator[tuple[list[LedgerService], RemoteLedger]]:
    async with AsyncExitStack() as stack:
        full = [await stack.enter_async_context(world.open_full(name)) for name in names]
        yield full, await stack.enter_async_context(world.open_light("alice"))


async def test_pays_and_sees_what_happened(autojump_clock: MockClock) -> None:
    world = World(genesis_of(3))
    async with opened(world, witness_names(3)) as (full, light):
        identity = await light.spend(pay("bob", 100), key_of("alice"))
        await trio.sleep(5)
        view = await light.account(account_of("alice"))
        (entry,) = await light.history(account_of("alice"))

        assert (view.balance, view.sequence, view.head) == (START - 100 - FEE, 1, identity)
        assert (view.agreeing, view.asked) == (3, 3)
        assert (entry.amount, entry.fee, entry.counterparty) == (-100, FEE, account_of("bob"))
        assert (await light.status()).operations == 1
        assert await light.status() == await light.status()
        assert not list(world.stores["alice"].scan(Table.PENDING.value))
        with pytest.raises(InsufficientBalance):
            await light.spend(pay("bob", START), key_of("alice"))
        assert await full[0].evidence() == await light.evidence() == []


async def test_sees_an_escrow_with_its_proofs(autojump_clock: MockClock) -> None:
    world = World(genesis_of(3))
    async with opened(world, witness_names(3)) as (full, light):
        opening = await light.spend(escrow_terms(), key_of("alice"))
        await trio.sleep(5)
        await light.spend(CancelEscrow(escrow=opening), key_of("alice"))
        await trio.sleep(5)

        assert await light.escrow(opening) == await full[0].escrow(opening)
        found = await light.find_escrow(account_of("alice"), bytes(32))
        assert found is not None
        assert found.cancelled_at_ms is not None
        assert await light.find_escrow(account_of("bob"), bytes(32)) is None


async def test_the_entry_node_dies_and_the_next_gets_the_same_operation(
    autojump_clock: MockClock,
) -> None:
    world = World(genesis_of(3))
    first, second, third = witness_names(3)
    async with opened(world, [first]) as (_, light):
        with pytest.raises(Unreachable):
            await light.spend(pay("bob", 100), key_of("alice"))
    ((_, pending),) = world.stores["alice"].scan(Table.PENDING.value)
    async with opened(world, [second, third]) as (full, light):
        await trio.sleep(40)

        assert (await full[0].account(account_of("bob"))).balance == START + 100
        assert not list(world.stores["alice"].scan(Table.PENDING.value))
        assert await full[1].submit(pending)


async def test_a_spend_tried_again_pays_once(autojump_clock: MockClock) -> None:
    world = World(genesis_of(3))
    first, second, third = witness_names(3)
    async with opened(world, [first]) as (_, light):
        with pytest.raises(Unreachable):
            await light.spend(pay("bob", 100), key_of("alice"))
        async with world.open_full(second), world.open_full(third) as full:
            await light.spend(pay("bob", 100), key_of("alice"))
            await trio.sleep(5)
            assert (await full.account(account_of("bob"))).balance == START + 100


async def test_an_old_view_does_not_make_it_sign_for_a_taken_place(
    autojump_clock: MockClock,
) -> None:
    """The only peer left has not heard of the last payment: then nothing is signed."""
    world = World(genesis_of(3), gossip_loss=1.0)
    first, second, third = witness_names(3)
    async with opened(world, [first, second]) as (_, light):
        await light.spend(pay("bob", 100), key_of("alice"))
    async with opened(world, [third]) as (_, light):
        with pytest.raises(Unreachable, match="do not know the last operation"):
            await light.spend(pay("carol", 50), key_of("alice"))
        assert not list(world.stores["alice"].scan(Table.PENDING.value))


def saying(answer: object) -> Callable[[NodeId, bytes], Awaitable[bytes]]:
    async def handle(_peer: NodeId, _body: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return encode(answer)

    return handle


async def test_invented_accounts_and_escrows_are_not_believed(autojump_clock: MockClock) -> None:
    world = World(genesis_of(3))
    invented = AccountReport(received=10**12, spent=0, sequence=9, head=None, conviction=None)
    opening = EscrowReport(opening=None, cancel=None, closing=None)
    async with (
        world.hub.open(key_of("liar")) as liar,
        opened(world, witness_names(1)) as (_, light),
    ):
        liar.serve(Method.LEDGER_ACCOUNT, saying(invented))
        liar.serve(Method.LEDGER_ESCROW, saying(opening))
        liar.serve(Method.LEDGER_SUBMIT, saying(opening))
        await liar.connect(world.networks["alice"].addresses()[0])
        view = await light.account(account_of("alice"))

        assert (view.balance, view.asked) == (START, 1)
        signed = Chain(world.genesis, "bob").next(pay("carol", 1))
        with pytest.raises(Unreachable):
            await light.certify(signed)
        assert node_of("liar") in world.networks["alice"].peers()


async def test_the_proof_of_another_operation_is_none(autojump_clock: MockClock) -> None:
    world = World(genesis_of(1))
    chain = Chain(world.genesis, "bob")
    first, second = chain.next(pay("carol", 1)), chain.next(pay("carol", 1))
    archive = Archive(world.genesis, MemoryStore(), node_of("liar"), world.now_ms)
    batch = certify(world.genesis, [first])
    archive.admit(verify_batch(batch, archive.witnesses, archive.network))
    async with world.hub.open(key_of("liar")) as liar, world.open_light("alice") as light:
        liar.serve(Method.LEDGER_SUBMIT, saying(archive.proof(first.id)))
        await liar.connect(world.networks["alice"].addresses()[0])

        await light.certify(first)
        with pytest.raises(Unreachable, match="another operation"):
            await light.certify(second)


async def test_without_peers_it_says_so(autojump_clock: MockClock) -> None:
    async with World(genesis_of(3)).open_light("alice") as light:
        with pytest.raises(Unreachable, match="no peer is connected"):
            await light.account(account_of("alice"))
