"""Epochs of real services on a memory network: payments go on, whoever comes, goes or dies."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from p2pgrid.errors import Conflicting, Refused
from p2pgrid.ledger.rotation import Rotation
from p2pgrid.ledger.service import LedgerService
from p2pgrid.limits.epochs import EPOCH_FREEZE_MS_MAX
from p2pgrid.model.certificate import CertifiedBatch
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import NodeId
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from p2pgrid.wire.codec import decode, encode
from tests.ledger.grids import (
    START,
    Chain,
    account_of,
    certify,
    genesis_of,
    key_of,
    node_of,
    pay,
    witness_names,
)
from tests.ledger.nodes import World

EPOCH_SECONDS = 10


def genesis(count: int) -> Genesis:
    return replace(genesis_of(count), epoch_seconds=EPOCH_SECONDS)


async def until(holds: Callable[[], bool]) -> None:
    with trio.fail_after(600):
        while not holds():  # noqa: ASYNC110 - no event tells of it
            await trio.sleep(0.1)


async def wait_for_epoch(epoch: int, *services: LedgerService) -> None:
    for service in services:
        await until(partial(service.is_settled_up_to, epoch))


async def test_a_grid_of_one_goes_from_epoch_to_epoch(autojump_clock: MockClock) -> None:
    world = World(genesis(1))
    (name,) = witness_names(1)
    async with world.open_full(name) as service:
        await service.spend(pay("bob", 5), key_of("alice"))
        await wait_for_epoch(3, service)
        await service.spend(pay("bob", 6), key_of("alice"))

        assert (await service.account(account_of("bob"))).balance == START + 11


async def pay_every_second(service: LedgerService, payer: str, seconds: int) -> int:
    """Pay 1 to carol again and again; gives how often."""
    paid = 0
    until = trio.current_time() + seconds
    while trio.current_time() < until:
        await service.spend(pay("carol", 1), key_of(payer))
        paid += 1
        await trio.sleep(1)
    return paid


async def test_payments_go_on_through_epochs(autojump_clock: MockClock) -> None:
    world = World(genesis(4), gossip_loss=0.2)
    names = witness_names(4)
    async with trio.open_nursery() as nursery:
        services = [await nursery.start(_run, world, name) for name in (*names, "entry")]
        paid = await pay_every_second(services[-1], "alice", 4 * EPOCH_SECONDS)
        await wait_for_epoch(3, *services)
        await trio.sleep(5)

        for service in services:
            account = await service.account(account_of("carol"))
            assert account.balance == START + paid
            status = await service.status()
            assert not status.alarms
            assert status.epoch >= 3
        nursery.cancel_scope.cancel()


async def _run(
    world: World,
    name: str,
    *,
    task_status: Any = trio.TASK_STATUS_IGNORED,
) -> None:
    async with world.open_full(name) as service:
        task_status.started(service)
        await trio.sleep_forever()


async def test_a_witness_that_was_away_catches_up_and_votes_again(
    autojump_clock: MockClock,
) -> None:
    world = World(genesis(4))
    names = witness_names(4)
    async with trio.open_nursery() as nursery:
        services = [await nursery.start(_run, world, name) for name in names[:3]]
        await services[0].spend(pay("bob", 5), key_of("alice"))
        await wait_for_epoch(2, *services)
        async with world.open_full(names[3]) as late:
            await wait_for_epoch(2, late)
            account = await late.account(account_of("bob"))
            assert account.balance == START + 5
            await wait_for_epoch(4, late, *services)
            seats = await late.witnesses()
        nursery.cancel_scope.cancel()
    assert all(seat.key != seat.node for seat in seats)


async def test_killed_witnesses_lose_nothing(autojump_clock: MockClock) -> None:
    """Each in turn dies and comes back with its disk, at all times of an epoch."""
    world = World(genesis(4))
    names = witness_names(4)
    async with world.open_full("entry") as entry, trio.open_nursery() as nursery:
        paid: list[int] = []

        async def load() -> None:
            paid.append(await pay_every_second(entry, "alice", 60))

        nursery.start_soon(load)
        async with trio.open_nursery() as others:
            for name in names[1:]:
                others.start_soon(_run, world, name)
            for offset in range(6):
                async with world.open_full(names[0]):
                    await trio.sleep(7 + offset / 2)
            await until(lambda: bool(paid))
            await wait_for_epoch(3, entry)
            others.cancel_scope.cancel()
        account = await entry.account(account_of("carol"))
        assert account.balance == START + paid[0]


async def test_a_light_peer_follows_the_witnesses(autojump_clock: MockClock) -> None:
    world = World(genesis(1))
    (name,) = witness_names(1)
    async with world.open_full(name) as full, world.open_light("light") as light:
        await wait_for_epoch(2, full)
        await light.spend(pay("bob", 5), key_of("alice"))

        assert (await light.account(account_of("bob"))).balance == START + 5
        assert (await light.account(account_of("alice"))).sequence == 1


async def test_what_was_certified_in_vain_is_certified_again(autojump_clock: MockClock) -> None:
    """One node alone held a certificate when the epoch ended; its client loses nothing."""
    world = World(genesis(4))
    names = witness_names(4)
    one = Chain(world.genesis, "alice").next(pay("bob", 5))
    batch = certify(world.genesis, [one])
    store = world.stores["entry"] = MemoryStore()
    store.write([(Table.BATCH.key(batch.certificate.root), encode(batch))])
    async with trio.open_nursery() as nursery:
        services = [await nursery.start(_run, world, name) for name in names]
        await wait_for_epoch(1, *services)
        async with world.open_full("entry") as entry:
            await wait_for_epoch(1, entry)
            await trio.sleep(5)
            for service in (*services, entry):
                assert (await service.account(account_of("bob"))).balance == START + 5
            assert not (await entry.status()).alarms
        nursery.cancel_scope.cancel()


async def test_an_agreement_that_stalls_blocks_no_payment(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of four vote for operations, and not for the end of the epoch."""
    world = World(genesis(4))
    names = witness_names(4)
    sulking = {node_of(name) for name in names[:2]}
    answer = Rotation.answer

    async def sulk(rotation: Rotation, peer: NodeId, body: bytes) -> bytes:
        if rotation._network.id in sulking:
            raise Refused("no")
        return await answer(rotation, peer, body)

    monkeypatch.setattr(Rotation, "answer", sulk)
    async with trio.open_nursery() as nursery:
        services = [await nursery.start(_run, world, name) for name in names]
        await trio.sleep(EPOCH_SECONDS + EPOCH_FREEZE_MS_MAX / 1000 + 1)
        assert await pay_every_second(services[3], "alice", 20) >= 10
        assert (await services[3].status()).epoch == 0

        sulking.clear()
        await wait_for_epoch(1, *services)
        await trio.sleep(5)
        for service in services:
            account = await service.account(account_of("carol"))
            assert account.balance >= START + 10
        nursery.cancel_scope.cancel()


async def test_what_a_quorum_stores_is_final_within_seconds(autojump_clock: MockClock) -> None:
    """One witness is away, gossip is lossy; without a third of the others nothing gets final."""
    world = World(replace(genesis_of(4), epoch_seconds=1000), gossip_loss=0.5)
    names = witness_names(4)
    async with trio.open_nursery() as nursery:
        services = [await nursery.start(_run, world, name) for name in (*names[:2], "entry")]
        entry = services[-1]
        async with world.open_full(names[2]):
            await entry.spend(pay("bob", 5), key_of("alice"))
            await trio.sleep(10)
            assert [one.status for one in await entry.history(account_of("bob"))] == ["final"]
            await entry.spend(pay("carol", 5), key_of("alice"))
        await trio.sleep(10)
        assert [one.status for one in await entry.history(account_of("carol"))] == ["certified"]
        async with world.open_full(names[3]):
            await trio.sleep(10)
            assert [one.status for one in await entry.history(account_of("carol"))] == ["final"]
        nursery.cancel_scope.cancel()


async def test_what_an_epoch_ended_with_is_final(autojump_clock: MockClock) -> None:
    world = World(genesis(1))
    (name,) = witness_names(1)
    async with world.open_full(name) as full, world.open_light("light") as light:
        await full.spend(pay("bob", 5), key_of("alice"))
        await wait_for_epoch(1, full)
        await full.spend(pay("bob", 6), key_of("alice"))

        statuses = [one.status for one in await full.history(account_of("bob"))]
        assert sorted(statuses) == ["certified", "final"]
        current, first = await full.epochs()
        assert (first.operations, first.is_settled) == (1, True)
        assert (current.operations, current.ended_ms) == (None, None)
        assert [one.end for one in await light.epochs()] == [None, first.end]
        assert await light.witnesses() == await full.witnesses()


async def test_a_ledger_of_several_epochs_is_verified(autojump_clock: MockClock) -> None:
    world = World(genesis(1))
    (name,) = witness_names(1)
    store = world.stores[name] = MemoryStore()
    async with world.open_full(name) as full:
        await full.spend(pay("bob", 5), key_of("alice"))
        await wait_for_epoch(2, full)
        await full.spend(pay("bob", 5), key_of("alice"))
        report = await full.verify(lambda _done, _total: None)
        assert report.is_sound
        assert any("epoch" in check.rule for check in report.checks)

        for key, data in store.scan(Table.BATCH.value):
            if decode(CertifiedBatch, data).certificate.epoch == 0:
                store.write([(key, None)])
        report = await full.verify(lambda _done, _total: None)
        assert any("epoch" in check.rule for check in report.checks if check.wrong)


async def test_who_signed_twice_goes_on_in_the_next_epoch(autojump_clock: MockClock) -> None:
    world = World(genesis(1))
    (name,) = witness_names(1)
    alice = Chain(world.genesis, "alice")
    other, one = alice.fork(pay("carol", 7)), alice.next(pay("bob", 5))
    following = alice.next(pay("bob", 6))
    async with world.open_full(name) as service, world.open_light("light") as light:
        await service.submit(one.envelope)
        with pytest.raises(Conflicting):
            await service.submit(other.envelope)
        with pytest.raises(Refused, match="when the epoch ends"):
            await service.submit(following.envelope)
        assert (await light.account(account_of("alice"))).is_convicted

        await wait_for_epoch(1, service)
        await service.submit(following.envelope)
        assert not (await light.account(account_of("alice"))).is_convicted
        assert [one.role for one in await service.evidence()] == ["account"]
        assert (await service.account(account_of("bob"))).balance == START + 11


async def test_an_operation_whose_place_is_taken_is_let_go(autojump_clock: MockClock) -> None:
    """A wallet from a backup signed again; the account goes on, without that operation."""
    world = World(genesis(1))
    (name,) = witness_names(1)
    alice = Chain(world.genesis, "alice")
    lost, one = alice.fork(pay("carol", 7)), alice.next(pay("bob", 5))
    store = world.stores["restored"] = MemoryStore()
    store.write([(Table.PENDING.key(account_of("alice")), lost.envelope)])
    async with world.open_full(name) as service:
        await service.submit(one.envelope)
        async with world.open_full("restored") as restored:
            await trio.sleep(5)
            assert (await restored.account(account_of("alice"))).pending is None
            await wait_for_epoch(1, restored)
            await restored.spend(pay("bob", 6), key_of("alice"))
            assert (await restored.account(account_of("carol"))).balance == START
            assert (await restored.account(account_of("bob"))).balance == START + 11
