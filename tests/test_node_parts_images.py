"""What images may take of the disk, and which of them are in use."""

import os
from dataclasses import replace
from pathlib import Path

from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.farming.capacity import cache_bytes
from p2pgrid.model.ids import FlistId
from p2pgrid.model.reservation import Phase
from p2pgrid.node_parts import (
    flists_in_use,
    image_share,
)
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from p2pgrid.units import GIB
from p2pgrid.wire.codec import encode
from tests.reservation.samples import container, request_of, reservation_of


def hosted(phase: Phase, flist: FlistId) -> tuple[bytes, bytes]:
    """A stored reservation of one container."""
    request = request_of(workloads=[replace(container(), flist=flist)], nonce=flist[:16])
    return Table.HOSTED.key(request.id), encode(replace(reservation_of(request, 0), phase=phase))


async def test_the_images_of_what_was_paid_and_is_not_over_are_in_use_as_stored() -> None:
    store = MemoryStore()
    flists = {phase: FlistId(bytes((phase,)) * 32) for phase in Phase}
    await store.commit([hosted(phase, flist) for phase, flist in flists.items()])
    await store.commit([(Table.HOSTED.key(b"x" * 32), b"unreadable")])

    idle = {Phase.QUOTED, Phase.ENDED, Phase.EXPIRED, Phase.FAILED}
    assert flists_in_use(store) == {flists[phase] for phase in set(Phase) - idle}


def test_images_have_the_share_of_the_disk_that_is_kept_for_them(tmp_path: Path) -> None:
    store = MemoryStore()
    share = image_share(tmp_path, MemoryChunkStore(), store)
    disk = os.statvfs(tmp_path)

    assert abs(share.free_bytes() - disk.f_bavail * disk.f_frsize) < GIB
    assert abs(share.budget_bytes(0) - cache_bytes(share.free_bytes())) < GIB
    with_trees = share.budget_bytes(40 * GIB)  # what is unpacked makes the disk no smaller
    assert abs(with_trees - cache_bytes(share.free_bytes() + 40 * GIB)) < GIB
    assert share.in_use() == frozenset()
