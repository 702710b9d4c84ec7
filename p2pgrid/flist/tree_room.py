"""Room for unpacked trees: which of them go when another one comes, and when it may not. Pure.

A tree that is not in use stays as a cache, until its room is needed. What an
image will take is known from its flist before any of its chunks is fetched.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from p2pgrid.errors import StoreFailed
from p2pgrid.flist.blocks import block_lengths
from p2pgrid.flist.fl_reader import Flist
from p2pgrid.flist.tree import walk
from p2pgrid.limits.chunks import IMAGE_BYTES_MAX
from p2pgrid.limits.flist import DISK_RESERVE_BYTES, TREE_ENTRY_BYTES
from p2pgrid.model.ids import ChunkId, FlistId, short
from p2pgrid.units import format_bytes


async def _keep_everything(_room_bytes: int) -> None:
    """For a disk on which nothing is kept that could go."""


@dataclass(frozen=True, slots=True)
class DiskShare:
    """What images may take of the disk; asked whenever one is brought here."""

    budget_bytes: Callable[[int], int] = lambda _: IMAGE_BYTES_MAX
    """For all unpacked trees together, which take so many bytes now."""
    free_bytes: Callable[[], int] = lambda: 2 * IMAGE_BYTES_MAX
    """What the disk still takes."""
    in_use: Callable[[], Collection[FlistId]] = lambda: ()
    """Flists whose tree a container lives on, or will in a moment."""
    make_room: Callable[[int], Awaitable[None]] = _keep_everything
    """Give up what else is kept as a cache until the disk takes so many bytes, if that can be."""


@dataclass(frozen=True, slots=True)
class Need:
    """What bringing an image here takes at most."""

    tree_bytes: int
    chunk_bytes: int
    """Of the chunks that are not here."""

    @property
    def free_bytes(self) -> int:
        """What the disk must take before the image comes."""
        return self.tree_bytes + self.chunk_bytes + DISK_RESERVE_BYTES


def need_of(tree: Flist, has: Callable[[ChunkId], bool]) -> Need:
    """What an image takes, as its flist says; unpacking writes no more than that."""
    lacking: dict[ChunkId, int] = {}
    for _, entry in walk(tree.root):
        for block, length in zip(entry.blocks, block_lengths(entry.size), strict=True):
            if block.id not in lacking and not has(block.id):
                lacking[block.id] = length
    tree_bytes = tree.content_bytes + tree.entry_count * TREE_ENTRY_BYTES
    return Need(tree_bytes, sum(lacking.values()))


@dataclass(slots=True)
class TreeRoom:
    """The trees that are here and those that are coming."""

    held: dict[FlistId, int] = field(default_factory=dict)
    """Bytes of each tree, the least lately used first."""
    coming: dict[FlistId, Need] = field(default_factory=dict)

    def use(self, flist: FlistId) -> None:
        """A tree that is here was asked for."""
        self.held[flist] = self.held.pop(flist, 0)

    def to_evict(
        self,
        flist: FlistId,
        need: Need,
        *,
        budget_bytes: int,
        free_bytes: int,
        kept: Collection[FlistId],
    ) -> list[FlistId]:
        """Which trees have to go before this image comes.

        Args:
            flist: the image.
            need: what it takes.
            budget_bytes: for all trees.
            free_bytes: of the disk.
            kept: trees that must stay.

        Raises:
            StoreFailed: there is no room although all others went; the message names the sizes.
        """
        held_bytes = sum(self.held.values())
        coming_bytes = sum(one.tree_bytes for one in self.coming.values())
        chunk_bytes = sum(one.chunk_bytes for one in (*self.coming.values(), need))
        tree_bytes = coming_bytes + need.tree_bytes
        lacking_budget = held_bytes + tree_bytes - budget_bytes
        lacking_disk = tree_bytes + chunk_bytes + DISK_RESERVE_BYTES - free_bytes
        lacking = max(lacking_budget, lacking_disk)
        evicted: list[FlistId] = []
        for other, size in self.held.items():
            if lacking <= 0:
                break
            if other not in kept and other != flist:
                evicted.append(other)
                lacking -= size
        if lacking > 0:
            raise StoreFailed(
                f"no room for image {short(flist)}: unpacked it takes "
                f"{format_bytes(need.tree_bytes)}, its chunks {format_bytes(need.chunk_bytes)}; "
                f"this node keeps {format_bytes(max(0, budget_bytes))} for images, "
                f"{format_bytes(sum(self.held[one] for one in self.held if one in kept))} are in "
                f"use, {format_bytes(coming_bytes)} promised, and {format_bytes(free_bytes)} "
                f"of its disk are free; take a smaller image or another node"
            )
        return evicted
