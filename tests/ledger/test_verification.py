"""A node verifies its own ledger while it goes on paying, and sees what happened meanwhile."""

import trio

from p2pgrid.ledger.audit import AuditReport
from p2pgrid.limits.ledger import AUDIT_BATCHES_AT_ONCE
from p2pgrid.store.store import Table
from tests.ledger.grids import account_of, genesis_of, key_of, pay, witness_names
from tests.ledger.nodes import World


async def test_a_ledger_is_verified_while_payments_go_on() -> None:
    world, (name,) = World(genesis_of(1)), witness_names(1)
    seen: list[tuple[int, int]] = []
    reports: list[AuditReport] = []
    async with world.open_full(name) as ledger:
        for _ in range(3):
            await ledger.spend(pay("bob", 1), key_of("alice"))
        async with trio.open_nursery() as nursery:

            async def verify() -> None:
                reports.append(await ledger.verify(lambda *count: seen.append(count)))

            nursery.start_soon(verify)
            for _ in range(3):
                await ledger.spend(pay("bob", 1), key_of("alice"))
        reports.append(await ledger.verify(lambda *count: seen.append(count)))
        account = await ledger.account(account_of("bob"))

    assert all(report.is_sound for report in reports)
    assert reports[-1].checks[1].count == 6
    assert account.balance == 1_006
    assert seen[-1] == (6, 6)
    assert 3 <= seen[0][0] <= AUDIT_BATCHES_AT_ONCE


async def test_damage_on_the_disk_is_found_below_a_state_that_is_right() -> None:
    world, (name,) = World(genesis_of(1)), witness_names(1)
    async with world.open_full(name) as ledger:
        await ledger.spend(pay("bob", 1), key_of("alice"))
        store = world.stores[name]
        ((key, data),) = store.scan(Table.BATCH)
        store.write([(key, data[:-1] + bytes((data[-1] ^ 1,)))])
        report = await ledger.verify(lambda _done, _total: None)

    assert not report.is_sound
    assert {check.rule.split()[0] for check in report.checks if check.wrong} == {"a", "the"}
