"""Ids of records that peers may hold and we do not want, such as outdated ones."""

from collections import OrderedDict
from collections.abc import Iterator

from p2pgrid.crdt.messages import CUT_BYTES


class UnwantedIds:
    """The latest ids that were refused. Finds them by their first 8 bytes too.

    Of ids that share their first 8 bytes it remembers the latest: somebody took pains to make them.

    Args:
        count_max: how many it remembers.
    """

    def __init__(self, count_max: int) -> None:
        self._count_max = count_max
        self._of_cut: OrderedDict[bytes, bytes] = OrderedDict()
        self.wanted_again = 0
        """How often one was taken off: peers may have it, and it is no news to them."""

    def __len__(self) -> int:
        return len(self._of_cut)

    def __iter__(self) -> Iterator[bytes]:
        """From the least lately added to the latest."""
        return iter(self._of_cut.values())

    def __contains__(self, identity: object) -> bool:
        return isinstance(identity, bytes) and self._of_cut.get(identity[:CUT_BYTES]) == identity

    def add(self, identity: bytes) -> None:
        """Remember an id; the first one makes room when there are too many."""
        self._of_cut[identity[:CUT_BYTES]] = identity
        if len(self._of_cut) > self._count_max:
            self._of_cut.popitem(last=False)

    def discard(self, identity: bytes) -> None:
        """Want it again."""
        if identity in self:
            del self._of_cut[identity[:CUT_BYTES]]
            self.wanted_again += 1

    def has_cut(self, cut: bytes) -> bool:
        """Whether an id that begins with these 8 bytes is unwanted."""
        return cut in self._of_cut
