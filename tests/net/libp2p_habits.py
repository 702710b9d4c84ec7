"""What stock libp2p 0.8.1 does when nobody attacks, and we cannot live with."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.io.exceptions import IncompleteReadError
from libp2p.io.trio import TrioTCPStream
from libp2p.io.utils import read_exactly
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

DIAL_SECONDS = 9.0
FROZEN_WAITS_SECONDS = 2.0
"""What ours takes to give up a frozen peer with the short waits of `test_frozen_peer`."""


def _host(seed: bytes) -> Any:
    return new_host(key_pair=create_new_key_pair(seed * 32))


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _listen(port: int) -> list[Multiaddr]:
    return [Multiaddr(f"/ip4/127.0.0.1/tcp/{port}")]


async def shares_a_port() -> bool:
    """Two hosts on one port, both without an error."""
    port, first, second = _free_port(), _host(b"a"), _host(b"b")
    async with first.run(listen_addrs=_listen(port)), second.run(listen_addrs=_listen(port)):
        return all(str(_listen(port)[0]) in one.get_network().listeners for one in (first, second))


async def connects_late() -> float:
    """Seconds that the quickest of three connections took."""
    server, took = _host(b"a"), list[float]()
    async with server.run(listen_addrs=_listen(0)):
        address = f"{server.get_transport_addrs()[0]}/p2p/{server.get_id()}"
        for seed in (b"b", b"c", b"d"):
            client = _host(seed)
            async with client.run(listen_addrs=[]):
                asked_at = trio.current_time()
                await client.connect(info_from_p2p_addr(Multiaddr(address)))
                took.append(trio.current_time() - asked_at)
    return min(took)


async def does_not_redial() -> bool:
    """A peer that was down once cannot be connected to, though it is up again."""
    port, client, server = _free_port(), _host(b"a"), _host(b"b")
    info = info_from_p2p_addr(Multiaddr(f"/ip4/127.0.0.1/tcp/{port}/p2p/{server.get_id()}"))
    async with client.run(listen_addrs=[]):
        with suppress(Exception):
            await client.connect(info)
        async with server.run(listen_addrs=_listen(port)):
            with suppress(Exception):
                await client.connect(info)
            return not client.get_network().get_connections(info.peer_id)


async def waits_for_the_mute() -> bool:
    """A peer that accepts connections and says nothing holds up who dials it."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    client = _host(b"a")
    info = info_from_p2p_addr(Multiaddr(f"/ip4/127.0.0.1/tcp/{port}/p2p/{_host(b'b').get_id()}"))
    with trio.move_on_after(DIAL_SECONDS) as scope:
        async with client.run(listen_addrs=[]):
            with suppress(Exception):
                await client.connect(info)
    return scope.cancelled_caught


class _Drops:
    """A reader whose bytes come one at a time, as from a slow link."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def read(self, n: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        drop, self._data = self._data[:1], self._data[1:]
        return drop


async def gives_up_on_drops() -> bool:
    """200 bytes that come one at a time are not read."""
    try:
        await read_exactly(_Drops(os.urandom(200)), 200)  # type: ignore[arg-type]  # all it uses is read
    except IncompleteReadError:
        return True
    return False


async def does_not_know_ipv6_peers() -> bool:
    """Where a connection over IPv6 comes from is not told, so no limit for it can be held."""
    listeners = await trio.open_tcp_listeners(0, host="::1")
    port = listeners[0].socket.getsockname()[1]
    stream = await trio.open_tcp_stream("::1", port)
    return TrioTCPStream(stream).get_remote_address() is None


@contextmanager
def _another_process() -> Iterator[tuple[int, str]]:
    """Process id and address of a stock host, which is killed in the end."""
    command = [sys.executable, "-m", "tests.net.libp2p_habits"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdout is not None
        try:
            yield peer.pid, peer.stdout.readline().strip()
        finally:
            peer.kill()


async def keeps_a_frozen_peer() -> bool:
    """A peer that stopped without a word counts as connected, for as long as one cares to wait."""
    client = _host(b"a")
    with _another_process() as (pid, address):
        info = info_from_p2p_addr(Multiaddr(address))
        async with client.run(listen_addrs=[]):
            await client.connect(info)
            os.kill(pid, signal.SIGSTOP)
            await trio.sleep(3 * FROZEN_WAITS_SECONDS)
            return bool(client.get_network().get_connections(info.peer_id))


HABITS: dict[str, Callable[[], Awaitable[object]]] = {
    habit.__name__: habit
    for habit in (
        shares_a_port,
        connects_late,
        does_not_redial,
        waits_for_the_mute,
        gives_up_on_drops,
        does_not_know_ipv6_peers,
        keeps_a_frozen_peer,
    )
}


async def _serve_until_killed() -> None:
    server = _host(b"f")
    async with server.run(listen_addrs=_listen(0)):
        sys.stdout.write(f"{server.get_transport_addrs()[0]}/p2p/{server.get_id()}\n")
        sys.stdout.flush()
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(_serve_until_killed)
