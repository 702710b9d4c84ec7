"""Full nodes prove what they hold, light peers what peers show them; nobody else's word counts."""

from dataclasses import replace

import pytest
from trio.testing import MockClock

from p2pgrid.errors import NotFound
from p2pgrid.ledger.epoch_messages import BatchesReport, EpochsReport
from p2pgrid.ledger.payment_proof import check_proof
from p2pgrid.model.ids import NodeId, RecordId
from p2pgrid.model.operation import Operation
from p2pgrid.net.network import Method
from p2pgrid.wire.codec import encode
from p2pgrid.wire.signed import Signed, verify
from tests.ledger.grids import account_of, certify, genesis_of, key_of, pay, witness_names
from tests.ledger.nodes import World
from tests.ledger.test_rotation import genesis, wait_for_epoch


async def test_full_and_light_prove_the_same_before_and_after_the_end_of_an_epoch(
    autojump_clock: MockClock,
) -> None:
    world = World(genesis(1))
    (name,) = witness_names(1)
    async with world.open_full(name) as full, world.open_light("light") as light:
        operation = await full.spend(pay("bob", 5), key_of("alice"))
        for ledger in (full, light):
            proven = check_proof(await ledger.proof(operation), world.genesis)
            assert (proven.id, proven.operation.account) == (operation, account_of("alice"))
            assert not proven.is_final
        await wait_for_epoch(2, full)
        later = await full.spend(pay("bob", 6), key_of("alice"))
        for ledger in (full, light):
            assert check_proof(await ledger.proof(operation), world.genesis).is_final
            assert check_proof(await ledger.proof(later), world.genesis).epoch == 2


async def test_what_nobody_has_is_not_found(autojump_clock: MockClock) -> None:
    world = World(genesis(1))
    (name,) = witness_names(1)
    async with world.open_full(name) as full, world.open_light("light") as light:
        for ledger in (full, light):
            with pytest.raises(NotFound, match="no "):
                await ledger.proof(RecordId(b"\x07" * 32))


async def test_a_liar_is_passed_over(autojump_clock: MockClock) -> None:
    """One peer shows a batch that strangers signed; the other has the real one."""
    world = World(genesis(1))
    (name,) = witness_names(1)
    async with (
        world.open_full(name) as full,
        world._open_network("liar") as liar,
        world.open_light("light") as light,
    ):
        operation = await full.spend(pay("bob", 5), key_of("alice"))
        envelope = (await full.proof(operation)).certified.operation
        real = certify(world.genesis, [signed_again(envelope, world)])
        strangers = certify(genesis_of(4), [signed_again(envelope, world)]).certificate
        forged = replace(real, certificate=replace(strangers, epoch=0))
        asked: list[NodeId] = []

        async def lie(peer: NodeId, _body: bytes) -> bytes:
            asked.append(peer)
            return encode(BatchesReport(batches=(forged,)))

        async def knows_no_end(_peer: NodeId, _body: bytes) -> bytes:
            return encode(EpochsReport(certificates=()))

        liar.serve(Method.LEDGER_BATCHES, lie)
        liar.serve(Method.LEDGER_EPOCHS, knows_no_end)
        for _ in range(20):
            proven = check_proof(await light.proof(operation), world.genesis)
            assert proven.id == operation
        assert asked


def signed_again(envelope: bytes, world: World) -> Signed[Operation]:
    """The very same operation, as `certify` takes it."""
    return verify(Operation, envelope, world.genesis.network)
