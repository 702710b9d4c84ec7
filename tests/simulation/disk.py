"""A disk that loses power: what was committed stays, of the rest some."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from p2pgrid.store.store import Change, Table


@dataclass
class Disk:
    """What a node keeps when it dies: all that was durable, and some of what was written since."""

    durable: dict[bytes, bytes] = field(default_factory=dict)
    tail: list[Sequence[Change]] = field(default_factory=list)

    def write(self, changes: Sequence[Change]) -> None:
        """Written in this order, each all or nothing; durable with the next commit."""
        self.tail.append(changes)

    def commit(self, changes: Sequence[Change]) -> None:
        for some in [*self.tail, changes]:
            for key, value in some:
                self.durable.pop(key, None)
                if value is not None:
                    self.durable[key] = value
        self.tail.clear()

    def lose_power(self, random: Random) -> None:
        kept = self.tail[: random.randint(0, len(self.tail))]
        self.tail.clear()
        for changes in kept:
            self.commit(changes)

    def table(self, table: Table) -> list[tuple[bytes, bytes]]:
        return [(key[1:], value) for key, value in self.durable.items() if key[:1] == table]
