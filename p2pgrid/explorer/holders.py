"""Which nodes say that they hold a whole flist."""

from p2pgrid.model.flist import Holdings
from p2pgrid.model.ids import FlistId, NodeId


class Holders:
    """By flist, the nodes whose holdings that are held name it."""

    def __init__(self) -> None:
        self._nodes: dict[FlistId, set[NodeId]] = {}

    def add(self, said: object) -> None:
        """A record came; other kinds than holdings mean nothing here."""
        if isinstance(said, Holdings):
            for flist in said.flists:
                self._nodes.setdefault(flist, set()).add(said.node)

    def discard(self, said: object) -> None:
        """A record is held no longer."""
        if isinstance(said, Holdings):
            for flist in said.flists:
                nodes = self._nodes.get(flist, set())
                nodes.discard(said.node)
                if not nodes:
                    self._nodes.pop(flist, None)

    def of(self, flist: FlistId) -> list[NodeId]:
        """Sorted by id."""
        return sorted(self._nodes.get(flist, ()))
