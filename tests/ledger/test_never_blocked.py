"""No honest account is blocked by what others do after it signed."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from p2pgrid.errors import Refused, Unreachable
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.ballot import Ballot
from p2pgrid.ledger.certificate import assemble, first_witnesses, verify_batch, vote_for
from p2pgrid.ledger.messages import BatchItem, LedgerItem
from p2pgrid.ledger.service import LedgerService
from p2pgrid.limits.ledger import LEDGER_PENDING_RETRY_SECONDS, VIEW_AGE_SECONDS_MAX
from p2pgrid.model.certificate import CertifiedBatch, VoteAnswer, VoteRequest
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import RecordId
from p2pgrid.model.operation import CancelEscrow, Operation, SettleEscrow
from p2pgrid.net.network import Method, Network, Topic, Verdict
from p2pgrid.store.memory import MemoryStore
from p2pgrid.units import HOUR_MS, Amount
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import Signed
from tests.ledger.grids import (
    START,
    Chain,
    account_of,
    certify,
    epoch_keys,
    escrow_terms,
    genesis_of,
    key_of,
    node_of,
    pay,
    witness_names,
)
from tests.ledger.nodes import World


@asynccontextmanager
async def opened(world: World, names: Sequence[str]) -> AsyncGenerator[list[LedgerService]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(world.open_full(name)) for name in names]


@asynccontextmanager
async def outsider(world: World) -> AsyncGenerator[Network]:
    async with world.hub.open(key_of("outsider")) as network:
        for other in world.networks.values():
            await network.connect(other.addresses()[0])
        yield network


def settlement(escrow: RecordId, to_farm: int) -> SettleEscrow:
    return SettleEscrow(escrow=escrow, to_farm=Amount(to_farm), evidence=bytes(32))


async def ask(
    network: Network, genesis: Genesis, witness: str, *operations: Signed[Operation]
) -> VoteAnswer:
    """One witness's vote, asked for by whoever likes to."""
    request = VoteRequest(
        epoch=0,
        witness_set_hash=first_witnesses(genesis).hash,
        operations=tuple(one.envelope for one in operations),
    )
    data = await network.request(node_of(witness), Method.LEDGER_VOTE, encode(request))
    return decode(VoteAnswer, data)


async def gather(network: Network, genesis: Genesis, *operations: Signed[Operation]) -> bytes:
    """Get operations certified and keep the certificate back; gives what to publish."""
    witnesses, signatures = first_witnesses(genesis), {}
    for name in witness_names(len(genesis.witnesses)):
        answer = await ask(network, genesis, name, *operations)
        assert answer.signature is not None, answer.refusals
        signatures[node_of(name)] = answer.signature
    envelopes = tuple(one.envelope for one in operations)
    certificate = assemble(vote_for(envelopes, witnesses), signatures, witnesses)
    assert certificate is not None
    batch = CertifiedBatch(operations=envelopes, certificate=certificate)
    return encode(LedgerItem(BatchItem(batch)))


async def test_a_cancel_that_lost_against_the_settlement_does_not_block(
    autojump_clock: MockClock,
) -> None:
    """The container exits at the moment when its consumer cancels."""
    world = World(genesis_of(3))
    alice = Chain(world.genesis, "alice")
    async with opened(world, [*witness_names(3), "node"]) as services:
        opening = alice.next(escrow_terms())
        await services[0].submit(opening.envelope)
        cancel = alice.next(CancelEscrow(escrow=opening.id))
        await trio.sleep(5)
        await services[3].spend(settlement(opening.id, 0), key_of("node"))
        await trio.sleep(5)

        await services[0].submit(cancel.envelope)
        await services[0].submit(alice.next(pay("bob", 1)).envelope)
        assert (await services[0].account(account_of("bob"))).balance == START + 1


async def test_a_wallet_signs_no_cancel_that_serves_nothing(autojump_clock: MockClock) -> None:
    world = World(genesis_of(3))
    async with opened(world, witness_names(3)) as services:
        opening = await services[0].spend(escrow_terms(), key_of("alice"))
        await services[0].spend(CancelEscrow(escrow=opening), key_of("alice"))
        with pytest.raises(Refused, match="cancelled or closed already"):
            await services[0].spend(CancelEscrow(escrow=opening), key_of("alice"))


async def test_a_cancel_kept_back_and_published_later_does_not_block_the_node(
    autojump_clock: MockClock,
) -> None:
    """The consumer dates it back, and shows it once the node has signed what it is due."""
    world = World(genesis_of(3))
    alice, node = Chain(world.genesis, "alice"), Chain(world.genesis, "node")
    async with opened(world, [*witness_names(3), "node"]) as services, outsider(world) as evil:
        opening = alice.next(escrow_terms(deposit=900, price=3600))
        await services[0].submit(opening.envelope)
        await trio.sleep(5)
        cancel = alice.next(CancelEscrow(escrow=opening.id))
        certificate = await gather(evil, world.genesis, cancel)
        await trio.sleep(300)
        due = 3600 * 300_000 // HOUR_MS
        settle = node.next(settlement(opening.id, due), fee=0, time_ms=world.now_ms())
        evil.subscribe(Topic.LEDGER, lambda _forwarder, _data: Verdict.ACCEPT)
        await evil.publish(Topic.LEDGER, certificate)
        await trio.sleep(10)

        escrow = await services[0].escrow(opening.id)
        assert escrow is not None
        assert escrow.cancelled_at_ms is not None
        await services[3].submit(settle.envelope)
        await trio.sleep(5)
        assert (await services[0].account(account_of("farm"))).balance == due


async def test_witnesses_finish_a_settlement_that_its_node_left_half_voted(
    autojump_clock: MockClock,
) -> None:
    """Else two of four would refuse the consumer's own closing later, and block its account."""
    world = World(genesis_of(4))
    names, node = witness_names(4), Chain(world.genesis, "node")
    async with opened(world, names) as services, outsider(world) as evil:
        opening = await services[0].spend(escrow_terms(), key_of("alice"))
        await trio.sleep(5)
        half = node.next(settlement(opening, 0), fee=0)
        for name in names[:2]:
            assert (await ask(evil, world.genesis, name, half)).signature is not None
        await trio.sleep(2 * LEDGER_PENDING_RETRY_SECONDS + 5)

        for service in services:
            escrow = await service.escrow(opening)
            assert escrow is not None
            assert escrow.closing is not None


async def test_a_node_that_hears_nobody_signs_no_settlement(autojump_clock: MockClock) -> None:
    """It may have missed a cancel for so long that its claim can never be certified."""
    world = World(genesis_of(3))
    async with opened(world, ["node"]) as (service,):
        async with opened(world, witness_names(3)) as services:
            opening = await services[0].spend(escrow_terms(), key_of("alice"))
            await trio.sleep(10)
        await trio.sleep(VIEW_AGE_SECONDS_MAX + 5)
        with pytest.raises(Unreachable, match="settlement"):
            await service.spend(settlement(opening, 0), key_of("node"))
        assert (await service.account(account_of("node"))).pending is None
        async with opened(world, witness_names(3)) as services:
            await trio.sleep(10)
            await service.spend(settlement(opening, 0), key_of("node"))


async def test_what_is_certified_gets_no_vote_but_its_batch(autojump_clock: MockClock) -> None:
    world = World(genesis_of(3))
    one = Chain(world.genesis, "alice").next(pay("bob", 5))
    async with opened(world, witness_names(3)) as services, outsider(world) as entry:
        await services[0].submit(one.envelope)
        answer = await ask(entry, world.genesis, witness_names(3)[0], one)

        assert answer.signature is None
        assert [one.envelope in batch.operations for batch in answer.certified] == [True]


async def test_an_entry_node_that_is_behind_learns_what_is_certified(
    autojump_clock: MockClock,
) -> None:
    """From the witness that it asks for a vote: this one does nothing else."""
    world = World(genesis_of(1))
    (name,) = witness_names(1)
    one = Chain(world.genesis, "alice").next(pay("bob", 5))
    store = MemoryStore()
    archive = Archive(world.genesis, store, node_of(name), world.now_ms)
    witnesses = first_witnesses(world.genesis)
    archive.admit(verify_batch(certify(world.genesis, [one]), witnesses, world.genesis.network))
    ballot = Ballot(
        archive, store, epoch_keys(key_of(name), store), world.now_ms, on_behind=lambda _: None
    )
    async with world.hub.open(key_of(name)) as witness, world.open_full("late") as late:
        witness.serve(Method.LEDGER_VOTE, ballot.answer)
        await witness.connect(world.networks["late"].addresses()[0])
        with trio.fail_after(5):
            await late.submit(one.envelope)

        assert (await late.account(account_of("bob"))).balance == START + 5
