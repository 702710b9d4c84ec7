"""Which chunks go when there are too many, and which packs are worth writing anew. Pure."""

from collections.abc import Collection, Iterable, Mapping

from p2pgrid.chunks.chunk_store import ChunkUsage, KeptChunk
from p2pgrid.chunks.pack_index import PackState
from p2pgrid.chunks.packs import RECORD_OVERHEAD_BYTES
from p2pgrid.limits.chunks import COMPACT_DEAD_PERCENT, EVICT_BELOW_PERCENT
from p2pgrid.model.ids import ChunkId


def chunks_to_evict(
    kept: Iterable[KeptChunk], needed: Collection[ChunkId], *, excess_bytes: int
) -> list[ChunkId]:
    """The least lately used chunks that together have `excess_bytes`, or all that may go.

    Args:
        kept: all that is here.
        needed: chunks of pinned images; they stay, whatever they take.
        excess_bytes: what has to go at least.
    """
    loose = [one for one in kept if one.chunk not in needed]
    loose.sort(key=lambda one: (one.used_hour, one.chunk))
    evicted: list[ChunkId] = []
    for one in loose:
        if excess_bytes <= 0:
            break
        evicted.append(one.chunk)
        excess_bytes -= one.blob_bytes
    return evicted


def excess_over_share(usage: ChunkUsage, share_bytes: int) -> int:
    """Bytes of chunks that have to go once packs exceed their share, 0 while they do not."""
    if usage.pack_bytes <= share_bytes:
        return 0
    return max(0, usage.chunk_bytes - max(0, share_bytes) * EVICT_BELOW_PERCENT // 100)


def packs_to_compact(states: Mapping[int, PackState], ends: Mapping[int, int]) -> list[int]:
    """Packs of which much is of no use, those that cost least to move first.

    So one that holds nothing any more goes before a byte is written, also on a full disk.

    Args:
        states: what is in use of each pack.
        ends: size of each pack in bytes.
    """
    live = {pack: _record_bytes(states.get(pack, PackState())) for pack in ends}
    worth = [
        pack for pack, end in ends.items() if (end - live[pack]) * 100 > end * COMPACT_DEAD_PERCENT
    ]
    return sorted(worth, key=lambda pack: (live[pack], pack))


def _record_bytes(state: PackState) -> int:
    """What the chunks in use take of their pack."""
    return state.live_bytes + state.live_count * RECORD_OVERHEAD_BYTES
