"""Feeds an audit with all that is stored, a little at a time, while the node goes on working."""

from collections.abc import Callable
from itertools import islice

import trio

from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.audit import Audit, AuditReport
from p2pgrid.ledger.certificate import WitnessSet
from p2pgrid.limits.ledger import (
    AUDIT_BATCHES_AT_ONCE,
    AUDIT_REPEATS_MAX,
    AUDIT_ROUNDS_MAX,
    AUDIT_SETTLE_SECONDS,
)
from p2pgrid.model.ids import RecordId
from p2pgrid.store.store import Store, Table

OnCount = Callable[[int, int], None]
"""Hears (batches, of batches)."""


async def verify_ledger(archive: Archive, store: Store, on_progress: OnCount) -> AuditReport:
    """Recompute everything from the stored records.

    Signatures are checked in threads, 90 µs each. What is certified meanwhile is looked at
    too, so that the state in use can be compared in the end. When an epoch ended meanwhile,
    what it ended without had counted, and all is looked at anew, a few times at most.
    """
    settled = archive.epochs.settled
    report = await _verify(archive, store, on_progress)
    for _ in range(AUDIT_REPEATS_MAX):
        if report.is_sound or settled == archive.epochs.settled:
            break
        settled = archive.epochs.settled
        report = await _verify(archive, store, on_progress)
    return report


async def _verify(archive: Archive, store: Store, on_progress: OnCount) -> AuditReport:
    epochs, settled = archive.epochs, archive.epochs.settled

    def witnesses_of(epoch: int) -> WitnessSet | None:
        frame = epochs.chain.frame_of(epoch)
        return None if frame is None else frame.witnesses

    def counts(epoch: int, operation: RecordId) -> bool:
        return epoch <= epochs.settled and not epochs.is_void(epoch, operation)

    audit = Audit(archive.genesis, witnesses_of, counts)
    await _feed(audit, archive, store, on_progress)
    await trio.to_thread.run_sync(audit.take_ends, epochs.chain.certificates, settled)
    evidence = [(key[1:], data) for key, data in store.scan(Table.EVIDENCE)]
    operations = [(key[1:], data) for key, data in store.scan(Table.VOTED_OPERATION)]
    votes = [(key[1:], data) for key, data in store.scan(Table.VOTE)]
    await trio.to_thread.run_sync(audit.take_evidence, evidence)
    await trio.to_thread.run_sync(audit.take_votes, operations, votes)
    for _ in range(AUDIT_ROUNDS_MAX):
        await _feed(audit, archive, store, on_progress)
        if audit.operation_count == archive.state.operation_count:
            break
        await trio.sleep(AUDIT_SETTLE_SECONDS)  # a batch counts as soon as its write is under way
    return audit.conclude(archive.state, archive.convicted)


async def _feed(audit: Audit, archive: Archive, store: Store, on_progress: OnCount) -> None:
    """Look at all batches that were not looked at yet."""
    stored = ((key[1:], data) for key, data in store.scan(Table.BATCH))
    new = (entry for entry in stored if entry[0] not in audit.roots)
    while some := list(islice(new, AUDIT_BATCHES_AT_ONCE)):
        await trio.to_thread.run_sync(audit.take_batches, some)
        on_progress(len(audit.roots), archive.batch_count)
