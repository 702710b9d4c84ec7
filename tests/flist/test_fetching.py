"""Chunks come from the store, or through it from a peer."""

from collections.abc import Mapping

import pytest

from p2pgrid.chunks.chunk_store import Blob
from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.errors import NotFound, Unreachable
from p2pgrid.flist.blocks import encode_block
from p2pgrid.flist.fetching import bring_blobs, pack_blobs, unpack_blobs
from p2pgrid.model.ids import FlistId, NodeId
from tests.flist.peers import NoPeers, OnePeer

FLIST = FlistId(bytes(32))
BLOBS = [Blob(block.id, blob) for block, blob in (encode_block(b"%d" % n) for n in range(4))]


async def test_only_what_is_missing_is_fetched_and_stays() -> None:
    theirs, ours = MemoryChunkStore(), MemoryChunkStore()
    await theirs.put(BLOBS)
    await ours.put(BLOBS[:2])
    peer = OnePeer(theirs, ours)
    wanted = [blob.chunk for blob in [BLOBS[2], *BLOBS, BLOBS[2]]]

    blobs = await bring_blobs(FLIST, wanted, (), ours, peer)

    assert blobs == tuple(bytes(blob.data) for blob in [BLOBS[2], *BLOBS, BLOBS[2]])
    assert peer.asked == [BLOBS[2].chunk, BLOBS[3].chunk]
    assert await bring_blobs(FLIST, wanted, (), ours, NoPeers()) == blobs


async def test_what_nobody_has_is_not_found() -> None:
    ours = MemoryChunkStore()
    await ours.put(BLOBS[:1])

    with pytest.raises(NotFound):
        await bring_blobs(FLIST, [blob.chunk for blob in BLOBS], (), ours, NoPeers())


async def test_a_fetch_that_did_not_bring_all_is_not_believed() -> None:
    with pytest.raises(NotFound, match="cannot be read"):
        await bring_blobs(FLIST, [BLOBS[0].chunk], (), MemoryChunkStore(), _Liar())


def test_blobs_come_out_as_they_went_in_and_no_answer_is_cut_off_unseen() -> None:
    blobs = [b"first", b"", b"x" * 70_000]
    data = pack_blobs(blobs)

    assert unpack_blobs(data, 3) == blobs
    for cut in (0, 3, 5, 10, 20, len(data) - 1):
        with pytest.raises(Unreachable):
            unpack_blobs(data[:cut], 3)
    with pytest.raises(Unreachable):
        unpack_blobs(data + b"x", 3)


class _Liar(NoPeers):
    """Says that it fetched everything."""

    async def fetch_chunks(self, *_: object) -> Mapping[NodeId, int]:
        return {}
