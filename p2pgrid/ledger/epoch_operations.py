"""The operations that hold a certificate of one epoch, and sets of them that were proposed.

A set has one name, its root, so two that have the same root are the same set. What was
here when the books closed is the first part of what is here now: arrival is in order.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

from p2pgrid.limits.epochs import CUTS_KNOWN_MAX
from p2pgrid.model.ids import ID_BYTES, RecordId

_CUT = b"p2pgrid.cut"


@dataclass(frozen=True)
class Cut:
    """One set of operations of one epoch."""

    root: bytes
    operations: frozenset[RecordId]

    @cached_property
    def ordered(self) -> tuple[RecordId, ...]:
        """The same, ascending."""
        return tuple(sorted(self.operations))


def cut_of(operations: Iterable[RecordId]) -> Cut:
    """The set of these, with its name. A millisecond for 2,000."""
    chosen = frozenset(operations)
    digest = blake2b(digest_size=ID_BYTES, person=_CUT)
    digest.update(b"".join(sorted(chosen)))
    return Cut(digest.digest(), chosen)


class EpochOperations:
    """What a replica holds of one epoch."""

    def __init__(self) -> None:
        self._held: dict[RecordId, None] = {}
        self._closed: Cut | None = None
        self._all: Cut | None = None
        self._learnt: dict[bytes, Cut] = {}

    def __len__(self) -> int:
        return len(self._held)

    def __contains__(self, operation: object) -> bool:
        return operation in self._held

    def add(self, operations: Iterable[RecordId]) -> None:
        """Note operations whose certificate is here now."""
        before = len(self._held)
        self._held.update(dict.fromkeys(operations))
        if len(self._held) != before:
            self._all = None

    def close(self, late: Iterable[RecordId] = ()) -> None:
        """Close the books: what is here now is what this witness stands up for.

        Args:
            late: what came after they were closed before; a restart forgets the order only.
        """
        if self._closed is None:
            self._closed = cut_of(self._held.keys() - set(late))

    @property
    def is_closed(self) -> bool:
        """Whether books are closed: what comes now is late."""
        return self._closed is not None

    @property
    def closed(self) -> Cut:
        """What was here when the books closed."""
        assert self._closed is not None, "the books are open"
        return self._closed

    @property
    def everything(self) -> Cut:
        """What is here now."""
        if self._all is None:
            self._all = cut_of(self._held)
        return self._all

    def learn(self, cut: Cut) -> None:
        """Remember what a set holds, so that it is known by its root."""
        self._learnt.pop(cut.root, None)
        self._learnt[cut.root] = cut
        while len(self._learnt) > CUTS_KNOWN_MAX:
            del self._learnt[next(iter(self._learnt))]

    def known(self, root: bytes) -> Cut | None:
        """The set of that name, whether all of it is here or not.

        Who asks for all that is here may vote for it; so it is remembered, when more has come.
        Else a certificate that is shown late to everybody would leave nobody who knows what the
        epoch ended with.
        """
        if root == self.everything.root:
            self.learn(self.everything)
            return self.everything
        if self._closed is not None and root == self._closed.root:
            return self._closed
        return self._learnt.get(root)

    def missing(self, cut: Cut) -> list[RecordId]:
        """What of a set is not here, sorted."""
        return sorted(cut.operations - self._held.keys())

    def void(self, cut: Cut) -> list[RecordId]:
        """What is here and not in the set that the epoch ended with, sorted."""
        return sorted(self._held.keys() - cut.operations)

    def forget(self, operations: Iterable[RecordId]) -> None:
        """Drop operations whose certificate is void."""
        for operation in operations:
            self._held.pop(operation, None)
        self._all = None
