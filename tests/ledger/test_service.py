"""Full nodes certify what may be certified, agree on the result, and lose nothing in a crash."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
import trio
from trio.testing import MockClock

from p2pgrid.errors import Conflicting, InsufficientBalance, PeerError, Refused, Unreachable
from p2pgrid.ledger.service import LedgerService
from p2pgrid.limits.ledger import CANCEL_NOTICE_MS
from p2pgrid.model.ids import AccountId, RecordId
from p2pgrid.model.operation import CancelEscrow, SettleEscrow, Transfer
from p2pgrid.net.network import Method
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Change, Table
from p2pgrid.units import HOUR_MS, Amount
from tests.ledger.grids import (
    FEE,
    NOW,
    START,
    Chain,
    account_of,
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


async def balance_of(service: LedgerService, name: str) -> int:
    return (await service.account(account_of(name))).balance


@pytest.mark.parametrize("witness_count", [1, 3, 4])
async def test_a_payment_is_certified_and_everybody_knows(
    witness_count: int, autojump_clock: MockClock
) -> None:
    world = World(genesis_of(witness_count))
    names = [*witness_names(witness_count), "alice"]
    async with opened(world, names) as services:
        identity = await services[-1].spend(pay("bob", 100), key_of("alice"))
        assert await balance_of(services[-1], "bob") == START + 100
        await trio.sleep(5)

        assert all([await balance_of(one, "bob") == START + 100 for one in services])
        view = await services[0].account(account_of("alice"))
        assert (view.balance, view.sequence, view.head) == (START - 100 - FEE, 1, identity)
        assert (await services[0].status()).supply == 3 * START


async def test_many_payments_of_many_accounts(
    autojump_clock: MockClock,
) -> None:
    world = World(genesis_of(4))
    async with opened(world, witness_names(4)) as services, trio.open_nursery() as nursery:

        async def pay_often(service: LedgerService, name: str) -> None:
            for _ in range(5):
                await service.spend(pay("dave", 10), key_of(name))

        for service, name in zip(services, ("alice", "bob", "carol"), strict=False):
            nursery.start_soon(pay_often, service, name)
        await trio.sleep(30)

        assert await balance_of(services[3], "dave") == 150
    for store in world.stores.values():
        assert not list(store.scan(Table.PENDING.value))


async def test_an_operation_may_be_submitted_again_and_anywhere(
    autojump_clock: MockClock,
) -> None:
    world = World(genesis_of(4))
    signed = Chain(world.genesis, "alice").next(pay("bob", 1))
    async with opened(world, witness_names(4)) as services:
        async with trio.open_nursery() as nursery:
            for service in [*services, *services]:
                nursery.start_soon(service.submit, signed.envelope)
        assert await services[0].submit(signed.envelope) == signed.id
        assert await balance_of(services[2], "bob") == START + 1


async def test_more_than_there_is_is_refused_before_it_is_signed(
    autojump_clock: MockClock,
) -> None:
    world = World(genesis_of(3))
    async with opened(world, witness_names(3)) as services:
        with pytest.raises(InsufficientBalance, match=r"holds 0\.0001000 TFT"):
            await services[0].spend(pay("bob", START), key_of("alice"))
        await services[0].spend(pay("bob", START - FEE), key_of("alice"))
        with pytest.raises(InsufficientBalance):
            await services[0].submit(Chain(world.genesis, "dave").next(pay("bob", 1)).envelope)


async def test_what_cannot_be_certified_is_not_even_signed(autojump_clock: MockClock) -> None:
    """A signed operation holds its place for ever: a slip would block the account."""
    world = World(genesis_of(3))
    chain = Chain(world.genesis, "carol")
    names = witness_names(3)
    nobody = Transfer(outputs=((AccountId(bytes(32)), Amount(1)),))
    async with opened(world, names) as services:
        with pytest.raises(Refused, match="not a usable key"):
            await services[0].spend(nobody, key_of("alice"))
        for amount in (1, 2):
            with suppress(Conflicting):
                await services[0].submit(chain.fork(pay("bob", amount)).envelope)
        with pytest.raises(Refused, match="signed two operations"):
            await services[0].spend(pay("bob", 3), key_of("carol"))
        assert not list(world.stores[names[0]].scan(Table.PENDING))


async def test_a_second_spend_is_refused_and_proven(
    autojump_clock: MockClock,
) -> None:
    world = World(genesis_of(4))
    chain = Chain(world.genesis, "mallory")
    one, other = chain.fork(pay("bob", 5)), chain.fork(pay("carol", 5))
    async with opened(world, witness_names(4)) as services:
        await services[0].spend(pay("mallory", 50), key_of("alice"))
        await trio.sleep(4)
        await services[0].submit(one.envelope)
        with pytest.raises(Conflicting):
            await services[1].submit(other.envelope)
        await trio.sleep(4)

        for service in services:
            (found,) = await service.evidence()
            assert (found.culprit, found.role) == (node_of("mallory"), "account")
            assert await balance_of(service, "carol") == START
            assert (await service.account(account_of("mallory"))).is_convicted
        chain.operations.append(one)
        with pytest.raises(Refused, match="signed two"):
            await services[2].submit(chain.next(pay("bob", 1)).envelope)


async def test_of_two_spends_at_once_at_most_one_is_certified(
    autojump_clock: MockClock,
) -> None:
    world = World(genesis_of(4))
    chain = Chain(world.genesis, "alice")
    spends = [chain.fork(pay("bob", amount)) for amount in range(1, 5)]
    certified: list[RecordId] = []

    async def try_it(service: LedgerService, envelope: bytes) -> None:
        with suppress(Refused, Unreachable):
            certified.append(await service.submit(envelope))

    async with opened(world, witness_names(4)) as services:
        async with trio.open_nursery() as nursery:
            for service, one in zip(services, spends, strict=True):
                nursery.start_soon(try_it, service, one.envelope)
        await trio.sleep(5)

        assert len(certified) <= 1
        assert all([len(await service.evidence()) == 1 for service in services])
        assert not any([(await service.status()).alarms for service in services])


async def test_an_escrow_is_cancelled_settled_and_refunded(
    autojump_clock: MockClock,
) -> None:
    world = World(genesis_of(3))
    node, consumer = "node", "alice"
    async with opened(world, [*witness_names(3), node, consumer]) as services:
        at_node, at_consumer = services[3], services[4]
        opening = await at_consumer.spend(escrow_terms(deposit=500, price=3600), key_of(consumer))
        await trio.sleep(10)
        await at_consumer.spend(CancelEscrow(escrow=opening), key_of(consumer))
        await trio.sleep(5)
        escrow = await at_node.escrow(opening)
        assert escrow is not None
        assert escrow.cancelled_at_ms is not None
        due = Amount(3600 * (escrow.cancelled_at_ms - NOW) // HOUR_MS)
        assert due >= 10
        noticed = Amount(due + 3600 * CANCEL_NOTICE_MS // HOUR_MS)
        too_much = SettleEscrow(escrow=opening, to_farm=Amount(noticed + 6), evidence=bytes(32))
        with pytest.raises(Refused, match="more than the time used"):
            await at_node.spend(too_much, key_of(node))
        fair = SettleEscrow(escrow=opening, to_farm=due, evidence=bytes(32))
        await at_node.spend(fair, key_of(node))

        assert await balance_of(at_node, "farm") == due
        assert await balance_of(at_node, consumer) == START - 2 * FEE - due
        found = await at_node.find_escrow(account_of(consumer), bytes(32))
        assert found is not None
        assert found.id == opening
        assert found.closing is not None
        assert found.closing.to_farm + found.closing.refund == 500
        assert at_node.escrows() == (found,)
        assert at_node.signed_at_ms(RecordId(bytes(32))) is None
        assert {account_of(consumer), account_of("farm")} <= {*at_node.accounts()}
        entries = {entry.kind: entry for entry in await at_node.history(account_of(consumer))}
        assert sorted(entries) == ["escrow cancelled", "escrow opened", "escrow settled"]
        assert at_node.signed_at_ms(opening) == entries["escrow opened"].time_ms


async def test_two_of_three_go_on_and_the_third_catches_up(
    autojump_clock: MockClock,
) -> None:
    """Gossip is lost entirely: comparison alone must do."""
    world = World(genesis_of(3), gossip_loss=1.0)
    first, second, third = witness_names(3)
    async with opened(world, [first, second]) as services:
        for _ in range(3):
            await services[0].spend(pay("bob", 10), key_of("alice"))
        async with world.open_full(third) as late:
            await trio.sleep(5)

            assert await balance_of(late, "bob") == START + 30


async def test_one_of_three_pays_nothing_and_the_operation_is_certified_later(
    autojump_clock: MockClock,
) -> None:
    world = World(genesis_of(3))
    first, second, third = witness_names(3)
    async with opened(world, [first, second]) as (one, _):
        await one.spend(pay("bob", 1), key_of("alice"))
        await trio.sleep(4)
    async with opened(world, [first, "other"]) as (alone, _):
        with pytest.raises(Unreachable):
            await alone.spend(pay("bob", 10), key_of("alice"))
        assert await balance_of(alone, "bob") == START + 1
        (pending, *_) = await alone.history(account_of("alice"))
        assert (pending.status, pending.amount) == ("pending", -10)
        async with opened(world, [third]):
            await alone.spend(pay("bob", 10), key_of("alice"))
            assert await balance_of(alone, "bob") == START + 11


async def test_a_restart_finishes_what_was_pending_as_it_was_signed(
    autojump_clock: MockClock,
) -> None:
    world = World(genesis_of(3))
    first, second, third = witness_names(3)
    async with opened(world, [first, second]) as services:
        await services[0].spend(pay("bob", 1), key_of("alice"))
    async with opened(world, [first, "other"]) as (alone, _):
        with trio.move_on_after(1):
            await alone.spend(pay("bob", 20), key_of("alice"))
    (pending,) = [envelope for _, envelope in world.stores[first].scan(Table.PENDING.value)]
    async with opened(world, [first, third]) as services:
        await trio.sleep(60)
        history = await services[0].history(account_of("bob"))

        assert await balance_of(services[0], "bob") == START + 21
        assert len(history) == 2
        assert await services[0].submit(pending)
        assert not list(world.stores[first].scan(Table.PENDING.value))


async def test_a_node_that_lost_its_disk_does_not_sign_for_a_taken_place(
    autojump_clock: MockClock,
) -> None:
    world = World(genesis_of(3))
    first, second, third = witness_names(3)
    async with opened(world, [first, second, third]) as services:
        await services[0].spend(pay("bob", 1), key_of("alice"))
        await trio.sleep(4)
        async with world.open_full("alice") as at_home:
            await at_home.spend(pay("bob", 2), key_of("alice"))
            await trio.sleep(4)
        world.stores["alice"] = MemoryStore()
        async with world.open_full("alice") as at_home:
            await at_home.spend(pay("bob", 3), key_of("alice"))
            assert (await at_home.account(account_of("alice"))).sequence == 3
        assert await services[0].evidence() == []


class Snapshots(MemoryStore):
    """Remembers what the disk held at each moment when a crash could happen."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = False

    async def commit(self, changes: Sequence[Change]) -> None:
        if self.frozen:
            await trio.sleep_forever()
        await super().commit(changes)


async def test_no_vote_leaves_before_it_is_durable(
    autojump_clock: MockClock,
) -> None:
    """The disk of the only witness hangs: whatever it is asked, it must not answer."""
    world = World(genesis_of(1))
    (witness,) = witness_names(1)
    disk = world.stores[witness] = Snapshots()
    signed = Chain(world.genesis, "alice").next(pay("bob", 1))
    async with opened(world, [witness, "other"]) as (_, other):
        await other.spend(pay("bob", 5), key_of("carol"))
        disk.frozen = True
        with pytest.raises(Unreachable):
            await other.submit(signed.envelope)
        assert not [vote for _, vote in disk.scan(Table.VOTE.value) if vote == signed.id]
        with pytest.raises(Unreachable):
            await other.submit(signed.envelope)


async def test_a_witness_that_dies_remembers_its_votes(
    autojump_clock: MockClock,
) -> None:
    """It voted for one spend that never got its certificate; after the restart it keeps to it."""
    world = World(genesis_of(3))
    first, second, _ = witness_names(3)
    chain = Chain(world.genesis, "alice")
    one, other = chain.fork(pay("bob", 5)), chain.fork(pay("carol", 5))
    async with world.open_full(first) as alone:
        with trio.move_on_after(2):
            await alone.submit(one.envelope)
    votes = list(world.stores[first].scan(Table.VOTE.value))
    assert [vote for _, vote in votes] == [one.id]
    async with opened(world, [first, second]) as services:
        with pytest.raises(Conflicting):
            await services[1].submit(other.envelope)
        assert await balance_of(services[0], "carol") == START
    assert list(world.stores[first].scan(Table.VOTE.value)) == votes


async def test_garbage_is_refused_and_the_node_lives_on(
    autojump_clock: MockClock,
) -> None:
    world = World(genesis_of(1))
    (witness,) = witness_names(1)
    async with opened(world, [witness]) as (service,), world.hub.open(key_of("evil")) as evil:
        await evil.connect(world.networks[witness].addresses()[0])
        for method in Method:
            if method.startswith("ledger."):
                with pytest.raises(PeerError):
                    await evil.request(node_of(witness), method, b"\xff garbage")
        forged = bytearray(Chain(world.genesis, "alice").next(pay("bob", 1)).envelope)
        forged[-1] ^= 1
        with pytest.raises(PeerError):
            await evil.request(node_of(witness), Method.LEDGER_SUBMIT, bytes(forged))
        await service.spend(pay("bob", 1), key_of("alice"))


async def test_a_full_view_is_folded_from_the_store_at_the_start(
    autojump_clock: MockClock,
) -> None:
    world = World(genesis_of(1))
    (witness,) = witness_names(1)
    async with opened(world, [witness]) as (service,):
        for amount in range(1, 4):
            await service.spend(pay("bob", amount), key_of("alice"))
        before = await service.status()
    async with opened(world, [witness]) as (service,):
        assert await service.status() == before
        assert await balance_of(service, "bob") == START + 6
