"""What images may take of the disk, and which of them are in use."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock

from p2pgrid.chunks.memory import MemoryChunkStore
from p2pgrid.errors import Unreachable
from p2pgrid.farming.capacity import cache_bytes
from p2pgrid.flist.pulls import Pulled
from p2pgrid.limits.node import NEAR_HOLDERS_MAX, RESUME_SECONDS
from p2pgrid.model.ids import FlistId, NodeId
from p2pgrid.model.reservation import Phase
from p2pgrid.net.address import join_address
from p2pgrid.net.links import Link
from p2pgrid.node_parts import (
    HolderSearch,
    PulledImages,
    flists_in_use,
    image_share,
)
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from p2pgrid.units import GIB
from p2pgrid.wire.codec import encode
from tests.explorer.grid import node_of
from tests.reservation.samples import container, request_of, reservation_of

OTHER = node_of(2)
FLIST = FlistId(b"f" * 32)


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


class Claims:
    """Who says that he holds an flist, and whose farm confirms him."""

    def __init__(self, holders: Iterable[NodeId], confirmed: Iterable[NodeId] = ()) -> None:
        self._holders, self._confirmed = sorted(holders), set(confirmed)

    def holders(self, _: FlistId) -> list[NodeId]:
        return self._holders

    def node(self, node: NodeId) -> object:
        is_confirmed = node in self._confirmed
        return SimpleNamespace(addresses=(), is_confirmed=True) if is_confirmed else None


def network_of(
    connected: Sequence[NodeId] = (), *, links: Sequence[Link] = (), nearby: Sequence[str] = ()
) -> Any:
    return SimpleNamespace(
        id=OTHER,
        peers=lambda: connected,
        links=lambda: links,
        nearby=lambda: nearby,
        learn_addresses=lambda *_: None,
    )


def test_holders_are_asked_by_turns_the_connected_first_and_never_by_id() -> None:
    connected, confirmed, rest = ([node_of(10 * k + n) for n in range(1, 6)] for k in range(3))
    claims = cast(Any, Claims([*connected, *confirmed, *rest], confirmed))
    seen = set()
    for seed in range(4):
        asked = HolderSearch(claims, network_of(connected), Random(seed)).of(FLIST)
        connected_now = [one for one in connected if one != OTHER]
        assert set(asked) == {*connected_now, *confirmed, *rest}
        assert asked[0] in connected
        assert asked[1] in confirmed
        assert asked[2] in rest
        seen.add(tuple(asked))
    assert len(seen) == 4


def test_the_local_network_comes_first_and_is_no_crowd() -> None:
    seen, private, public, *crowd = (node_of(n) for n in range(10, 13 + 2 * NEAR_HOLDERS_MAX))
    links = [
        Link(private, "192.168.1.9", "192.168.0.0/16", is_outbound=True, since=0),
        Link(public, "8.8.8.8", "8.8.0.0/16", is_outbound=True, since=0),
    ]
    nearby = (join_address("/ip4/192.168.1.8/tcp/4001", seen),)
    network = network_of([private, public], links=links, nearby=nearby)

    claims = cast(Any, Claims([seen, private, public, node_of(99)]))
    asked = HolderSearch(claims, network, Random(1)).of(FLIST)
    assert set(asked[:2]) == {seen, private}
    assert set(asked) == {seen, private, public, node_of(99)}

    local = [join_address(f"/ip4/192.168.1.{n}/tcp/1", one) for n, one in enumerate(crowd)]
    claims = cast(Any, Claims([public, *crowd]))
    asked = HolderSearch(claims, network_of([public], nearby=local), Random(1)).of(FLIST)
    assert asked.index(public) == NEAR_HOLDERS_MAX


class Pulling:
    """Stands in for the pulls of a node that was restarted: fails a few times."""

    def __init__(self, failures: int, wanted: dict[FlistId, bool]) -> None:
        self.failures = failures
        self.wanted = wanted
        self.pulled: list[tuple[FlistId, bool]] = []
        self.abandoned: list[FlistId] = []

    def unfinished(self) -> dict[FlistId, bool]:
        return dict(self.wanted)

    def is_wanted(self, flist: FlistId) -> bool:
        return flist in self.wanted

    async def pull(
        self, flist: FlistId, holders: object, on_progress: object, *, is_seeded: bool
    ) -> Pulled:
        await trio.lowlevel.checkpoint()
        if self.failures:
            self.failures -= 1
            raise Unreachable("nobody is there yet")
        self.pulled.append((flist, is_seeded))
        self.wanted.pop(flist, None)
        return Pulled(flist, 0, 0, {})

    async def abandon(self, flist: FlistId) -> None:
        self.abandoned.append(flist)

    async def give_up(self, flist: FlistId) -> bool:
        return self.wanted.pop(flist, None) is not None


def images_of(pulling: Pulling) -> tuple[PulledImages, list[str]]:
    heard: list[str] = []
    nobody = SimpleNamespace(of=lambda _: [])
    flists = SimpleNamespace(pulls=pulling)
    return PulledImages(cast(Any, flists), cast(Any, nobody), lambda: heard.append("held")), heard


async def test_what_a_restart_interrupted_goes_on_until_it_is_here(
    autojump_clock: MockClock,
) -> None:
    first, second = FlistId(b"1" * 32), FlistId(b"2" * 32)
    pulling = Pulling(4, {first: True, second: False})
    images, heard = images_of(pulling)
    await images.run()
    assert sorted(pulling.pulled) == [(first, True), (second, False)]
    assert heard
    assert pulling.abandoned == []
    assert RESUME_SECONDS < trio.current_time() < 10 * RESUME_SECONDS


async def test_what_was_given_up_meanwhile_is_not_gone_on_with(autojump_clock: MockClock) -> None:
    flist = FlistId(b"1" * 32)
    pulling = Pulling(10**6, {flist: True})
    images, _ = images_of(pulling)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(images.run)
        await trio.sleep(1)
        assert await images.stop(flist)
    assert not await images.stop(flist)
    assert trio.current_time() < 2 * RESUME_SECONDS


async def test_a_pull_that_somebody_waits_for_is_over_when_it_fails() -> None:
    flist = FlistId(b"1" * 32)
    pulling = Pulling(1, {flist: True})
    images, heard = images_of(pulling)
    with pytest.raises(Unreachable):
        await images.pull(flist, lambda _: None, is_seeded=True)
    assert (pulling.abandoned, heard) == ([flist], [])
    await images.pull(flist, lambda _: None, is_seeded=True)
    assert heard == ["held"]
