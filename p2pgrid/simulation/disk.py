"""A disk that loses power: what was committed stays, of the rest some."""

from collections.abc import Iterator, Sequence
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
        self.tail.append(tuple(changes))

    def commit(self, changes: Sequence[Change]) -> None:
        """Durable, and all that was written before it too."""
        for some in [*self.tail, changes]:
            for key, value in some:
                self.durable.pop(key, None)
                if value is not None:
                    self.durable[key] = value
        self.tail.clear()

    def lose_power(self, random: Random) -> None:
        """Keep a prefix of what was written since the last commit: any may be torn off."""
        kept = self.tail[: random.randint(0, len(self.tail))]
        self.tail.clear()
        for changes in kept:
            self.commit(changes)

    def table(self, table: Table) -> list[tuple[bytes, bytes]]:
        """What is durable of one table, without its prefix."""
        return [(key[1:], value) for key, value in self.durable.items() if key[:1] == table]


class DiskStore:
    """The store of one incarnation of a node: reads what it wrote, on a disk that outlives it."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._values = dict(disk.durable)

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        return self._values.get(key)

    def scan(self, prefix: bytes, *, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Entries whose key starts with `prefix` and is > `after`, as they are now."""
        keys = sorted(key for key in self._values if key.startswith(prefix) and key > after)
        return iter([(key, self._values[key]) for key in keys])

    def write(self, changes: Sequence[Change]) -> None:
        """Visible at once, durable with the next commit."""
        self._disk.write(changes)
        for key, value in changes:
            self._values.pop(key, None)
            if value is not None:
                self._values[key] = value

    async def commit(self, changes: Sequence[Change]) -> None:
        """Visible and durable at once."""
        self.write(changes)
        self._disk.commit(())
