"""Chunks that stay although no pin needs them yet: those of images that are being made or fetched.

An image is pinned once all of its chunks are here. Until then a hold keeps
them; it ends with the task that took it, so it needs no place on disk.
"""

from collections.abc import Generator, Iterable
from contextlib import contextmanager

from p2pgrid.model.ids import ChunkId


class Holds:
    """The holds of one store."""

    def __init__(self) -> None:
        self._held: dict[object, set[ChunkId]] = {}

    @contextmanager
    def hold(self, chunks: Iterable[ChunkId] = ()) -> Generator[None, None, None]:
        """Hold `chunks`, and all that is noted, for the block."""
        one = object()
        self._held[one] = set(chunks)
        try:
            yield
        finally:
            del self._held[one]

    def note(self, chunks: Iterable[ChunkId]) -> None:
        """These are being put; somebody counts on them."""
        if self._held:
            put = set(chunks)
            for held in self._held.values():
                held.update(put)

    def is_held(self, chunk: ChunkId) -> bool:
        """Whether a chunk has to stay."""
        return any(chunk in held for held in self._held.values())
