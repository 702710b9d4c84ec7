"""Which chunk lies where, in a store. Everything in it can be made anew from the packs.

An entry is written after its record is durable, and together with how far its
pack is indexed then. So after a crash what a pack holds behind that point is
what the index lacks.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from p2pgrid.chunks.pack_files import Place
from p2pgrid.chunks.packs import PackRecord
from p2pgrid.model.ids import ChunkId, FlistId
from p2pgrid.store.store import Change, Store, Table
from p2pgrid.wire.codec import decode, encode

_PACK_NUMBER_BYTES = 4


@dataclass(frozen=True, slots=True)
class PackState:
    """What the index says of one pack."""

    indexed_bytes: int = 0
    """Where the part begins that is not indexed yet."""
    live_count: int = 0
    live_bytes: int = 0
    """Payloads that the index refers to; the rest of the pack may be compacted away."""


class PackIndex:
    """Places of chunks and the pins. One writer."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._packs = {
            int.from_bytes(key[1:], "big"): decode(PackState, value)
            for key, value in store.scan(Table.PACK.value)
        }

    def packs(self) -> Mapping[int, PackState]:
        """Every pack that was indexed."""
        return self._packs

    def place(self, chunk: ChunkId) -> Place | None:
        """Where a chunk lies, None when it is not here."""
        value = self._store.get(Table.CHUNK.key(chunk))
        return None if value is None else decode(Place, value)

    def add(self, places: Mapping[ChunkId, Place], ends: Mapping[int, int]) -> None:
        """Note where new chunks lie, and that their packs are indexed up to `ends`.

        A chunk that is known already stays where it is. Raises StoreFailed.
        """
        fresh = {chunk: place for chunk, place in places.items() if self.place(chunk) is None}
        packs = {
            pack: replace(self._packs.get(pack, PackState()), indexed_bytes=end)
            for pack, end in ends.items()
        }
        for place in fresh.values():
            packs[place.pack] = _counted(packs[place.pack], place, 1)
        changes: list[Change] = [
            (Table.CHUNK.key(chunk), encode(place)) for chunk, place in fresh.items()
        ]
        self._write(changes, packs)

    def add_records(self, pack: int, records: Iterable[PackRecord], end: int) -> None:
        """Note what was found in a pack, which is indexed up to `end` then. Raises StoreFailed."""
        places: dict[ChunkId, Place] = {}
        for record in records:
            places.setdefault(record.chunk, Place(pack, record.offset, record.payload_bytes))
        self.add(places, {pack: end})

    def move(
        self, old: Mapping[ChunkId, Place], new: Mapping[ChunkId, Place], ends: Mapping[int, int]
    ) -> None:
        """Let chunks lie in their new places, in one write with how far those are indexed.

        One that is not in its old place any more was evicted meanwhile, and stays so.
        Raises StoreFailed.
        """
        moved = {chunk: place for chunk, place in new.items() if self.place(chunk) == old[chunk]}
        packs = {
            pack: replace(self._packs.get(pack, PackState()), indexed_bytes=end)
            for pack, end in ends.items()
        }
        for chunk, place in moved.items():
            left = old[chunk]
            packs[left.pack] = _counted(packs.get(left.pack, self._packs[left.pack]), left, -1)
            packs[place.pack] = _counted(packs[place.pack], place, 1)
        self._write([(Table.CHUNK.key(chunk), encode(to)) for chunk, to in moved.items()], packs)

    def evict(self, chunks: Iterable[ChunkId]) -> int:
        """Drop chunks; returns their bytes. Raises StoreFailed."""
        packs: dict[int, PackState] = {}
        changes: list[Change] = []
        evicted_bytes = 0
        for chunk in dict.fromkeys(chunks):
            place = self.place(chunk)
            if place is not None:
                state = packs.get(place.pack, self._packs[place.pack])
                packs[place.pack] = _counted(state, place, -1)
                changes += _gone(chunk)
                evicted_bytes += place.payload_bytes
        self._write(changes, packs)
        return evicted_bytes

    def places(self) -> Iterator[tuple[ChunkId, Place]]:
        """Every chunk and where it lies, in order of ids."""
        entries = self._store.scan(Table.CHUNK.value)
        return ((ChunkId(key[1:]), decode(Place, value)) for key, value in entries)

    async def drop_pack(self, pack: int) -> None:
        """Forget a pack in which nothing is in use, and all that was written before, durably.

        Only after that may its file go: a file of this number that is made later must not
        meet places of the old one. Raises StoreFailed.
        """
        if self._packs.get(pack, PackState()).live_count:
            self.forget_packs({pack})  # what is left in it was damaged
        await self._store.commit([(_pack_key(pack), None)])
        self._packs = {number: state for number, state in self._packs.items() if number != pack}

    def forget(self, chunk: ChunkId, place: Place) -> None:
        """Drop a chunk that turned out to be damaged. Raises StoreFailed."""
        if self.place(chunk) == place:
            state = _counted(self._packs[place.pack], place, -1)
            self._write(_gone(chunk), {place.pack: state})

    def forget_packs(self, packs: set[int]) -> None:
        """Drop every chunk of packs that are gone or shorter than they were. Raises StoreFailed."""
        if not packs:
            return
        gone: list[Change] = []
        for chunk, place in self.places():
            if place.pack in packs:
                gone += _gone(chunk)
        gone += [(_pack_key(pack), None) for pack in packs]
        self._store.write(gone)
        self._packs = {pack: state for pack, state in self._packs.items() if pack not in packs}

    def _write(self, changes: list[Change], packs: Mapping[int, PackState]) -> None:
        self._store.write(
            [*changes, *((_pack_key(pack), encode(state)) for pack, state in packs.items())]
        )
        self._packs = {**self._packs, **packs}


def _gone(chunk: ChunkId) -> list[Change]:
    """What removes a chunk from the index."""
    return [(Table.CHUNK.key(chunk), None), (Table.CHUNK_USED.key(chunk), None)]


def pin_key(flist: FlistId, name: str) -> bytes:
    """Where a pin rests."""
    return Table.PIN.key(flist, name.encode())


def pin_names(store: Store, flist: FlistId) -> Iterator[str]:
    """The pins of one flist, sorted."""
    prefix = Table.PIN.key(flist)
    return (key[len(prefix) :].decode() for key, _ in store.scan(prefix))


def _counted(state: PackState, place: Place, sign: int) -> PackState:
    return replace(
        state,
        live_count=state.live_count + sign,
        live_bytes=state.live_bytes + sign * place.payload_bytes,
    )


def _pack_key(pack: int) -> bytes:
    return Table.PACK.key(pack.to_bytes(_PACK_NUMBER_BYTES, "big"))
