"""The view together with its disk: what is in the one is in the other."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar, cast

from nacl.signing import SigningKey

from p2pgrid.collector import uncollected
from p2pgrid.crdt.register import Contradiction, RegisterKey, register_key
from p2pgrid.errors import MalformedRecord, Refused, StoreFailed
from p2pgrid.explorer.admission import Admission, Refusal
from p2pgrid.explorer.announce import Stamp, next_incarnation, next_stamp
from p2pgrid.explorer.records import (
    QUOTAS,
    ExplorerRecord,
    bytes_max_of,
    envelope_of,
    key_parts,
    read_contradiction,
    reopen_record,
)
from p2pgrid.explorer.shelf import Quota
from p2pgrid.explorer.view import View
from p2pgrid.limits.explorer import FLIST_NAMES_PER_AUTHOR_MAX
from p2pgrid.model.ids import NetworkId
from p2pgrid.store.store import Change, Store, Table
from p2pgrid.units import TimestampMs
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import Signed, sign

log = logging.getLogger(__name__)

_R = TypeVar("_R", bound=ExplorerRecord)
_OWN_AUTHOR = b"explorer author"
_INCARNATION = Table.META.key(b"explorer incarnation")


class Archive:
    """Loads the view, and stores what it accepts."""

    def __init__(
        self,
        store: Store,
        network: NetworkId,
        now_ms: Callable[[], TimestampMs],
        *,
        quotas: Mapping[RecordKind, Quota] = QUOTAS,
    ) -> None:
        self.view = View(quotas)
        self._store = store
        self._network = network
        self._now_ms = now_ms
        last = store.get(_INCARNATION)
        self._incarnation = next_incarnation(None if last is None else int(last), now_ms())
        self._waiting: list[Change] | None = None
        """What is written at the end of a block of `one_write`; None outside of one."""
        self._stamped: dict[RegisterKey, Stamp] = {}
        """The last stamp given out for each of our own registers."""
        prefix = Table.META.key(_OWN_AUTHOR)
        for key, _ in store.scan(prefix):
            self.view.protect(key[len(prefix) :])  # before others could crowd it out
        with uncollected():
            self._load()

    def admit(self, signed: Signed[ExplorerRecord]) -> Admission:
        """Give a verified record to the view, and to the disk what the view took."""
        admission = self.view.accept(signed, self._now_ms())
        changes = [change for key in admission.dropped for change in _removals(key)]
        if admission.refusal is None:
            changes.append(_entry(signed))
        if admission.contradicted is not None:
            proof = self.view.contradictions.get(admission.contradicted)
            changes += [] if proof is None else [_proof_entry(admission.contradicted, proof)]
        self._write(changes)
        return admission

    def admit_contradiction(self, key: RegisterKey, proof: Contradiction) -> bool:
        """Keep a verified proof; whether it is news and worth the room."""
        is_news = self.view.contradict(key, proof)
        if is_news:
            self._write([_proof_entry(key, proof)])
        return is_news

    @contextmanager
    def one_write(self) -> Iterator[None]:
        """Store what is admitted in the block at once, also when it ends early.

        Nothing may be awaited in it: others would believe to be on the disk what is not yet.
        """
        assert self._waiting is None, "blocks of one write do not nest"
        self._waiting = []
        try:
            yield
        finally:
            changes, self._waiting = self._waiting, None
            self._write(changes)

    def _write(self, changes: list[Change]) -> None:
        if self._waiting is not None:
            self._waiting += changes
            return
        if not changes:
            return
        try:
            self._store.write(changes)
        except StoreFailed as error:
            # The view is right and peers have the record: after a restart it comes back.
            log.warning("the explorer cannot store what it hears: %s", error)

    def expire(self) -> int:
        """Drop what is past its lease; give how many records that were."""
        dropped = self.view.expire(self._now_ms())
        if dropped:
            self._store.write([change for key in dropped for change in _removals(key)])
        return len(dropped)

    async def sign_next(self, key: SigningKey, build: Callable[[Stamp], _R]) -> Signed[_R]:
        """Sign the next record of one of our own registers, and make it durable.

        Args:
            key: the author's.
            build: makes the record for a stamp; it is called twice.

        Raises:
            Refused: the record is too large to travel.
            StoreFailed: nothing was published.
        """
        draft = build(Stamp(0, 0, self._now_ms()))
        signed = sign(build(self._stamp(sign(draft, key, self._network))), key, self._network)
        await self.keep(signed)
        return signed

    async def keep(self, own: Signed[_R]) -> None:
        """Make a record of our own durable and part of the view.

        Raises:
            Refused: too large to travel, or the view has a newer one.
            StoreFailed: it is not stored, and not in the view.
        """
        signed = cast(Signed[ExplorerRecord], own)
        where = register_key(signed)
        if len(signed.envelope) > bytes_max_of(where.kind):
            raise Refused(f"{where.kind.name} of {len(signed.envelope)} bytes is too large")
        refusal = self.view.refusal(signed, self._now_ms())
        if refusal is None and not self.view.has_place_for(where):  # peers would not take it
            raise Refused(
                f"one publisher may have {FLIST_NAMES_PER_AUTHOR_MAX} names of flists in a year, "
                "withdrawn ones included; reuse a name, or publish with another key"
            )
        if refusal is not None:
            raise Refused(f"{where.kind.name} is not published: {refusal.name}")
        # The incarnation goes with it: what was sent is never signed anew with other content.
        await self._store.commit(
            [
                _entry(signed),
                (_INCARNATION, b"%d" % self._incarnation),
                (Table.META.key(_OWN_AUTHOR, where.author), b""),
            ]
        )
        self.view.protect(where.author)
        self.admit(signed)

    def _stamp(self, draft: Signed[_R]) -> Stamp:
        where = register_key(draft)
        known = [self._stamped[where]] if where in self._stamped else []
        held = self.view.get(where)
        if held is not None:
            said = held.record
            known.append(Stamp(said.incarnation, said.sequence, said.time_ms))
        last = max(known, key=lambda one: (one.incarnation, one.sequence), default=None)
        self._stamped[where] = next_stamp(last, self._incarnation, self._now_ms())
        return self._stamped[where]

    def _load(self) -> None:
        useless = []
        for key, envelope in self._store.scan(Table.REGISTER.value):
            try:
                signed = reopen_record(envelope, self._network)
            except MalformedRecord as error:
                log.warning("the explorer's store holds a broken record, dropped: %s", error)
                useless.append(key)
                continue
            admission = self.view.accept(signed, self._now_ms())
            useless += [change[0] for dropped in admission.dropped for change in _removals(dropped)]
            # Machines may start with their clock set back: what is ahead now may be right.
            if admission.refusal not in (None, Refusal.AHEAD):
                useless.append(key)
        useless += self._load_contradictions()
        if useless:
            self._store.write([(key, None) for key in useless])

    def _load_contradictions(self) -> Iterator[bytes]:
        """Take in the proofs that are stored; gives the keys of those that prove nothing now."""
        for key, data in self._store.scan(Table.CONTRADICTION.value):
            try:
                is_kept = self.view.contradict(*read_contradiction(data, self._network))
            except MalformedRecord as error:
                log.warning("the explorer's store holds a broken proof, dropped: %s", error)
                is_kept = False
            if not is_kept:
                yield key


def _entry(signed: Signed[_R]) -> Change:
    return Table.REGISTER.key(*key_parts(register_key(signed))), signed.envelope


def _proof_entry(key: RegisterKey, proof: Contradiction) -> Change:
    return Table.CONTRADICTION.key(*key_parts(key)), envelope_of(proof)


def _removals(key: RegisterKey) -> tuple[Change, ...]:
    parts = key_parts(key)
    return tuple((table.key(*parts), None) for table in (Table.REGISTER, Table.CONTRADICTION))
