"""A shelf: the registers of one kind, what they weigh, and which of them makes room.

Every kind has a shelf of its own, so that no flood of one kind moves another.
On a full shelf those make room first

1. whose author has nothing that gives them sense, such as members of a farm that nobody knows;
2. whose author has the most registers: free keys are bought with few names each;
3. of nodes and farms: who came last, so that no flood of new keys moves those who are there;
   of names: which were not renewed for longest.

Registers of protected authors (our own) weigh, and never make room.
"""

from collections import OrderedDict
from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from p2pgrid.crdt.register import RegisterKey

_Rank = tuple[bool, int]
"""(is an orphan, how many registers): the authors of the greatest make room first."""


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of one kind is held."""

    registers_max: int
    memory_bytes_max: int
    per_author_max: int = 1
    incumbents_stay: bool = True
    """Whether who came last makes room; otherwise what was not renewed for longest."""
    orphan_bytes_max: int | None = None
    """Of the memory, for what only its author's other record gives sense; None: all of it."""


@dataclass(slots=True)
class _Author:
    weights: dict[RegisterKey, int] = field(default_factory=dict)
    """Memory of each register, the least lately renewed first."""
    is_orphan: bool = False


class Shelf:
    """Registers of one kind by author. Holds keys and weights only, no records."""

    def __init__(self, quota: Quota, protected: Container[bytes]) -> None:
        self.quota = quota
        self.memory_bytes = 0
        self.orphan_bytes = 0
        self._protected = protected
        self._keys: dict[RegisterKey, None] = {}
        self._authors: dict[bytes, _Author] = {}
        self._of_rank: dict[_Rank, OrderedDict[bytes, None]] = {}
        """Authors that may make room, the least lately changed first."""

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[RegisterKey]:
        return iter(self._keys)

    def has_room_for(self, author: bytes) -> bool:
        """Whether this author may have one more register."""
        held = self._authors.get(author)
        return held is None or len(held.weights) < self.quota.per_author_max

    def put(self, key: RegisterKey, weight: int, *, is_orphan: bool) -> None:
        """Hold a register, or its renewed record: who stays keeps the place when renewing."""
        held = self._authors.get(key.author)
        if held is not None and key in held.weights and self.quota.incumbents_stay:
            gained = weight - held.weights[key]
            if gained:
                held.weights[key] = weight
                self.memory_bytes += gained
                self.orphan_bytes += gained if held.is_orphan else 0
            return
        author = self._take_out(key.author)
        author.is_orphan = is_orphan
        author.weights.pop(key, None)
        author.weights[key] = weight
        self._keys[key] = None
        self._put_back(key.author, author)

    def remove(self, key: RegisterKey) -> None:
        """Hold this register, which is held, no more."""
        author = self._take_out(key.author)
        del author.weights[key], self._keys[key]
        self._put_back(key.author, author)

    def adopt(self, author: bytes, *, is_orphan: bool) -> None:
        """What gives an author's registers sense came or went."""
        held = self._authors.get(author)
        if held is not None and held.is_orphan is not is_orphan:
            changed = self._take_out(author)
            changed.is_orphan = is_orphan
            self._put_back(author, changed)

    def protect(self, author: bytes) -> None:
        """See that an author who is protected now makes no room."""
        if author in self._authors:
            self._put_back(author, self._take_out(author))

    def next_to_go(self) -> RegisterKey | None:
        """Which register has to make room; None while there is enough, or all are protected."""
        quota = self.quota
        orphan_bytes_max = quota.orphan_bytes_max
        is_over = (
            len(self._keys) > quota.registers_max
            or self.memory_bytes > quota.memory_bytes_max
            or (orphan_bytes_max is not None and self.orphan_bytes > orphan_bytes_max)
        )
        if not is_over or not self._of_rank:
            return None
        authors = self._of_rank[max(self._of_rank)]
        author = next(reversed(authors) if quota.incumbents_stay else iter(authors))
        return next(iter(self._authors[author].weights))

    def _take_out(self, identity: bytes) -> _Author:
        """Take an author off the counts and ranks, to be changed and put back."""
        author = self._authors.pop(identity, None)
        if author is None:
            return _Author()
        self._count(author, -1)
        rank = (author.is_orphan, len(author.weights))
        if rank in self._of_rank:
            self._of_rank[rank].pop(identity, None)
            if not self._of_rank[rank]:
                del self._of_rank[rank]
        return author

    def _put_back(self, identity: bytes, author: _Author) -> None:
        if not author.weights:
            return
        self._authors[identity] = author
        self._count(author, 1)
        if identity not in self._protected:
            rank = (author.is_orphan, len(author.weights))
            self._of_rank.setdefault(rank, OrderedDict())[identity] = None

    def _count(self, author: _Author, sign: int) -> None:
        weight = sign * sum(author.weights.values())
        self.memory_bytes += weight
        if author.is_orphan:
            self.orphan_bytes += weight
