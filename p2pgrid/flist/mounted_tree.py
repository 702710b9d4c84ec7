"""The tree of an flist as the kernel sees it when it is mounted (pure, but for reading).

All that is known of names and files is in memory, numbered once in the order of `walk`. Contents
come from blocks, which may be far away.
"""

import stat
from collections.abc import Iterator, Sequence
from typing import Protocol

from p2pgrid.flist.blocks import Wanted, block_lengths
from p2pgrid.flist.tree import Entry, device_major, device_minor
from p2pgrid.fuse.wire import ROOT_NODE, Attributes
from p2pgrid.limits.chunks import CHUNK_BYTES


class Blocks(Protocol):
    """Where the bytes of files come from."""

    def have(self, wanted: Wanted) -> bytes | bytearray | None:
        """A block, when it is in memory."""
        ...

    async def bring(self, wanted: Sequence[Wanted]) -> None:
        """Have all of these in memory for a moment. Raises GridError."""
        ...


class MountedTree:
    """Serves a tree to a `fuse` session. It is never changed."""

    def __init__(self, root: Entry, blocks: Blocks) -> None:
        self._blocks = blocks
        self._entries: list[Entry] = []
        self._above: list[int] = []
        self._names: dict[int, dict[bytes, int]] = {}
        """The nodes in each directory, by name, in order."""
        self.content_bytes = 0
        self._number(root)

    @property
    def file_count(self) -> int:
        """Entries, the top included."""
        return len(self._entries)

    def attributes(self, node: int) -> Attributes:
        """Of a node. Raises KeyError."""
        entry = self._entry(node)
        is_link = entry.kind == stat.S_IFLNK
        below = self._names.get(node, {}).values()
        return Attributes(
            node=node,
            mode=entry.mode,
            size=len(entry.target) if is_link else entry.size,
            uid=entry.uid,
            gid=entry.gid,
            mtime=entry.mtime,
            rdev=_kernel_device(entry.rdev),
            links=2 + sum(self._entry(one).is_dir for one in below) if entry.is_dir else 1,
        )

    def child(self, node: int, name: bytes) -> Attributes | None:
        """What a directory has of that name. Raises KeyError when it is none."""
        found = self._names[node].get(name)
        return None if found is None else self.attributes(found)

    def rows(self, node: int, start: int) -> Iterator[tuple[bytes, Attributes]]:
        """What a directory holds from a place on. Raises KeyError."""
        names = self._names[node]
        around = [(b".", node), (b"..", self._above[node - ROOT_NODE])]
        for name, number in [*around, *names.items()][start:]:
            yield name, self.attributes(number)

    def target(self, node: int) -> bytes:
        """Where a symbolic link points. Raises KeyError."""
        return self._entry(node).target

    def read_now(self, node: int, offset: int, size: int) -> bytes | None:
        """Bytes of a file if its blocks are in memory. Raises KeyError."""
        entry = self._entry(node)
        pieces = [self._blocks.have(one) for one in _blocks_of(entry, offset, size)]
        if any(piece is None for piece in pieces):
            return None
        start = offset % CHUNK_BYTES
        joined = b"".join(piece for piece in pieces if piece is not None)
        return joined[start : start + size]

    async def read(self, node: int, offset: int, size: int) -> bytes:
        """Bytes of a file, whose blocks are brought first. Raises KeyError, GridError."""
        while True:
            await self._blocks.bring(_blocks_of(self._entry(node), offset, size))
            found = self.read_now(node, offset, size)
            if found is not None:  # else others took the room meanwhile
                return found

    def _entry(self, node: int) -> Entry:
        if not ROOT_NODE <= node < ROOT_NODE + len(self._entries):
            raise KeyError(node)
        return self._entries[node - ROOT_NODE]

    def _number(self, root: Entry) -> None:
        """Give every entry its number, directories before what is in them."""
        pending: list[tuple[Entry, int, bytes]] = [(root, ROOT_NODE, b"")]
        while pending:
            entry, above, name = pending.pop()
            node = ROOT_NODE + len(self._entries)
            self._entries.append(entry)
            self._above.append(above)
            if name:
                self._names[above][name] = node
            if entry.is_dir:
                self._names[node] = {}
                pending += [(e, node, n) for n, e in sorted(entry.children.items(), reverse=True)]
            self.content_bytes += entry.size


def _blocks_of(entry: Entry, offset: int, size: int) -> list[Wanted]:
    """The blocks that hold a span of a file."""
    first, last = offset // CHUNK_BYTES, -(-min(offset + size, entry.size) // CHUNK_BYTES)
    lengths = block_lengths(entry.size)
    return list(zip(entry.blocks[first:last], lengths[first:last], strict=True))


def _kernel_device(rdev: int) -> int:
    """A device number in the kernel's 32 bits: 12 of the driver amid 20 of the device."""
    major, minor = device_major(rdev), device_minor(rdev)
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)
