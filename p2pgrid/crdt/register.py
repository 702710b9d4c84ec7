"""Last-writer-wins registers: of all the records of one (kind, author, name), the newest stays.

Order: (incarnation, sequence), ties by id. It is total and says nothing of
when a record came, so replicas that saw the same records, in any order and any
number of times, hold the same ones.

Two different records with the same (incarnation, sequence) prove that their
author says different things to different peers: an equivocation. Both together are a
`Contradiction`, which anybody can verify and nobody has to sign. The ledger has proofs of
its own against accounts and witnesses: there it is a place in a chain that is taken twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from p2pgrid.errors import MalformedRecord
from p2pgrid.wire.codec import kind_of, record
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import Signed


class Registered(Protocol):
    """A record that replaces older ones of its author."""

    @property
    def author(self) -> bytes:
        """Whose it is, 32 bytes."""
        ...

    @property
    def name(self) -> bytes:
        """Which of the author's registers of this kind."""
        ...

    @property
    def incarnation(self) -> int:
        """Goes up whenever the author may have lost count of its sequence."""
        ...

    @property
    def sequence(self) -> int:
        """Goes up with each record of a register."""
        ...


_R = TypeVar("_R", bound=Registered)


class RegisterKey(NamedTuple):
    """Which register a record belongs in. A tuple: keys are hashed ten times for every record."""

    kind: RecordKind
    author: bytes
    name: bytes


@record(RecordKind.CONTRADICTION)
@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two records of one register with the same version: whoever signed them lies to somebody."""

    first: bytes
    """The envelope of the one with the smaller id, so that one pair makes one proof."""
    second: bytes


def contradiction_of(one: Signed[_R], other: Signed[_R]) -> Contradiction:
    """The proof made of two records that contradict each other."""
    first, second = sorted((one, other), key=lambda signed: signed.id)
    return Contradiction(first.envelope, second.envelope)


def contradicted_register(first: Signed[_R], second: Signed[_R]) -> RegisterKey:
    """Which register two verified records, those of a proof in its order, prove a lie about.

    Raises:
        MalformedRecord: they prove nothing.
    """
    if register_key(first) != register_key(second):
        raise MalformedRecord("a contradiction of two registers")
    if version_of(first)[:2] != version_of(second)[:2]:
        raise MalformedRecord("a contradiction of two versions")
    if not first.id < second.id:
        raise MalformedRecord("a contradiction out of order")
    return register_key(first)


class Outcome(Enum):
    """What became of a record that was put in."""

    NEWER = 1
    """It is the register's record now."""
    SAME = 2
    """It was there already."""
    OLDER = 3
    """The register holds a newer one."""


class Merge(NamedTuple, Generic[_R]):
    """What `Registers.merge` found."""

    outcome: Outcome
    replaced: Signed[_R] | None = None
    """The record whose place the new one took."""
    contradicts: Signed[_R] | None = None
    """The record with the same incarnation and sequence and other content: equivocation."""


_FIRST: Merge[Any] = Merge(Outcome.NEWER)
_SAME: Merge[Any] = Merge(Outcome.SAME)


def register_key(signed: Signed[_R]) -> RegisterKey:
    """Where `signed` belongs. Remembered: it is asked five times on the way in."""
    key = signed.place
    if not isinstance(key, RegisterKey):
        record = signed.record
        key = RegisterKey(kind_of(type(record)), record.author, record.name)
        object.__setattr__(signed, "place", key)  # what follows from a frozen record
    return key


def version_of(signed: Signed[_R]) -> tuple[int, int, bytes]:
    """What decides which of two records of one register stays: the greater."""
    return signed.record.incarnation, signed.record.sequence, signed.id


class Registers(Generic[_R]):
    """All registers of a replica, in memory."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[RegisterKey, Signed[_R]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[tuple[RegisterKey, Signed[_R]]]:
        return iter(self._held.items())

    def get(self, key: RegisterKey) -> Signed[_R] | None:
        """The newest record of a register."""
        return self._held.get(key)

    def compare(self, new: Signed[_R]) -> Merge[_R]:
        """What `merge` would find; changes nothing."""
        old = self._held.get(register_key(new))
        if old is None:
            return _FIRST
        if old is new or old.id == new.id:
            return _SAME
        new_version, old_version = version_of(new), version_of(old)
        contradicts = old if old_version[:2] == new_version[:2] else None
        if new_version > old_version:
            return Merge(Outcome.NEWER, replaced=old, contradicts=contradicts)
        return Merge(Outcome.OLDER, contradicts=contradicts)

    def merge(self, new: Signed[_R]) -> Merge[_R]:
        """Put a record in its register if it is newer than what is there."""
        merge = self.compare(new)
        if merge.outcome is Outcome.NEWER:
            self._held[register_key(new)] = new
        return merge

    def put(self, key: RegisterKey, new: Signed[_R]) -> None:
        """Put a record in its register; for those who have compared it already."""
        self._held[key] = new

    def drop(self, key: RegisterKey) -> Signed[_R] | None:
        """Empty a register; give what was in it."""
        return self._held.pop(key, None)
