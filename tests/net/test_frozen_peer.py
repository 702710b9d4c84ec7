"""A peer that stops without a word holds up nobody, and its requests fail."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from nacl.signing import SigningKey

from p2pgrid.errors import Unreachable
from p2pgrid.model.ids import NodeId
from p2pgrid.net import control_session, libp2p_patches
from p2pgrid.net.libp2p import open_libp2p
from p2pgrid.net.network import Method, Network, PeerDown, Topic
from tests.net.frozen_node import GRID

ROOT = Path(__file__).parents[2]
KEEPALIVE_SECONDS = 1.0


@pytest.fixture
def peer() -> Iterator[tuple[int, str]]:
    """Process id and address of another node."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.net.frozen_node"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.pid, process.stdout.readline().strip()
        process.kill()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same waits as in life, only shorter."""
    monkeypatch.setattr(control_session, "KEEPALIVE_SECONDS", KEEPALIVE_SECONDS)
    monkeypatch.setattr(control_session, "KEEPALIVE_ANSWER_SECONDS_MAX", KEEPALIVE_SECONDS)
    monkeypatch.setattr(libp2p_patches, "FRAME_WRITE_SECONDS_MAX", 4 * KEEPALIVE_SECONDS)


def open_node(seed: bytes):  # type: ignore[no-untyped-def]  # noqa: ANN201 - a context manager
    listen = ["/ip4/127.0.0.1/tcp/0"]
    return open_libp2p(key=SigningKey(seed * 32), listen=listen, network_id=GRID, mdns=False)


async def fail(network: Network, peer: NodeId, failed: trio.Event) -> None:
    with pytest.raises(Unreachable):
        await network.request(peer, Method.LEDGER_SUBMIT, b"")
    failed.set()


async def test_a_killed_peer_is_noticed_at_once(peer: tuple[int, str]) -> None:
    pid, address = peer
    failed = trio.Event()
    with trio.fail_after(20):
        async with open_node(b"a") as node, trio.open_nursery() as nursery:
            other = await node.connect(address)
            events = node.peer_events()
            nursery.start_soon(fail, node, other, failed)
            assert await node.request(other, Method.EXPLORER_QUERY, b"x") == b"x"
            os.kill(pid, signal.SIGKILL)
            with trio.fail_after(1):
                await failed.wait()
                assert await events.receive() == PeerDown(other)


async def test_a_frozen_peer_holds_up_nobody_and_is_given_up(peer: tuple[int, str]) -> None:
    """Though its sockets fill up with gossip that it does not read."""
    pid, address = peer
    failed = trio.Event()
    longest = 0.0
    with trio.fail_after(30):
        async with open_node(b"a") as node, open_node(b"b") as third:
            other = await node.connect(address)
            events = node.peer_events()
            third.serve(Method.EXPLORER_QUERY, answer)
            await node.connect(third.addresses()[0])
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail, node, other, failed)
                await node.request(other, Method.EXPLORER_QUERY, b"x")
                os.kill(pid, signal.SIGSTOP)
                while not failed.is_set():
                    await node.publish(Topic.LEDGER, os.urandom(60_000))
                    asked_at = trio.current_time()
                    assert await node.request(third.id, Method.EXPLORER_QUERY, b"") == b"!"
                    longest = max(longest, trio.current_time() - asked_at)
            with trio.fail_after(1):
                while await events.receive() != PeerDown(other):
                    pass
            assert node.peers() == (third.id,)

            os.kill(pid, signal.SIGCONT)
            assert await node.connect(address) == other
            assert await node.request(other, Method.EXPLORER_QUERY, b"back") == b"back"

    assert longest < 1


async def answer(peer: bytes, body: bytes) -> bytes:
    return b"!"
