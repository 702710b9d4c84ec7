"""Real addresses, no second node on a port, IPv6 beside IPv4; and only the libp2p we know."""

import subprocess
import sys
from typing import Any

import pytest
import trio
from nacl.signing import SigningKey

from p2pgrid.errors import BadInput, Unreachable, Unusable
from p2pgrid.limits.net import (
    BUFFERED_BYTES_MAX,
    CONNECTION_BUFFERED_BYTES_MAX,
    STREAMS_BURST,
    STREAMS_PER_SECOND,
)
from p2pgrid.model.ids import NetworkId, NodeId
from p2pgrid.net.libp2p import open_libp2p
from p2pgrid.net.libp2p_patches import (
    LIBP2P_VERSION,
    Buffered,
    BufferedTcpStream,
    _limited,
    check_version,
)
from p2pgrid.net.network import BulkStream, Method

GRID = NetworkId(b"one grid........")


def key(number: int) -> SigningKey:
    return SigningKey(bytes([number]) * 32)


def open_at(number: int, *listen: str):  # type: ignore[no-untyped-def]  # noqa: ANN201 - a context manager
    return open_libp2p(key=key(number), listen=listen, network_id=GRID, mdns=False)


async def echo(peer: NodeId, body: bytes) -> bytes:
    return body


async def send_one(peer: NodeId, stream: BulkStream) -> None:
    await stream.send(b"bulk")


async def test_a_second_node_on_a_port_is_refused() -> None:
    """With libp2p's SO_REUSEPORT both would get half of the connections."""
    async with open_at(1, "/ip4/127.0.0.1/tcp/0") as first:
        listen = first.addresses()[0].rpartition("/p2p/")[0]
        with pytest.raises(Unusable, match="another program has the port"):
            async with open_at(2, listen):
                pytest.fail("it listens")


async def test_a_closed_node_listens_no_more() -> None:
    async with open_at(1, "/ip4/127.0.0.1/tcp/0") as first:
        listen = first.addresses()[0].rpartition("/p2p/")[0]
    async with open_at(2, listen) as second:
        assert second.addresses()[0].startswith(listen)


async def test_one_port_in_both_families() -> None:
    async with open_at(1, "/ip4/127.0.0.1/tcp/0") as first:
        port = first.addresses()[0].split("/")[4]
    listen = [f"/ip4/0.0.0.0/tcp/{port}", f"/ip6/::/tcp/{port}"]
    async with open_at(1, *listen) as first:
        addresses = first.addresses()
        assert addresses
        assert not any("/0.0.0.0/" in one or "/::/" in one for one in addresses)
        assert all(one.split("/")[4] == port for one in addresses)


@pytest.mark.parametrize("listen", ["/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0"])
async def test_requests_and_bulk_over_either_family(listen: str) -> None:
    async with open_at(1, listen) as first, open_at(2, "/ip4/127.0.0.1/tcp/0") as second:
        first.serve(Method.EXPLORER_QUERY, echo)
        first.serve_bulk(send_one)
        with trio.fail_after(5):
            await second.connect(first.addresses()[0])
            assert await second.request(first.id, Method.EXPLORER_QUERY, b"hi") == b"hi"
            stream = await second.open_bulk(first.id)
            assert await stream.receive() == b"bulk"
            await stream.aclose()


@pytest.mark.parametrize(
    "listen", ["", "nonsense", "/ip4/127.0.0.1", "/ip4/127.0.0.1/udp/1", "/dns4/localhost/tcp/1"]
)
async def test_nonsense_cannot_be_listened_on(listen: str) -> None:
    with pytest.raises(BadInput, match="cannot be listened on"):
        async with open_at(1, listen):
            pytest.fail("it listens")


async def test_an_address_of_another_machine_cannot_be_listened_on() -> None:
    with pytest.raises(Unusable, match="not of this machine"):
        async with open_at(1, "/ip4/203.0.113.1/tcp/0"):
            pytest.fail("it listens")


async def test_a_mute_listener_is_given_up_on() -> None:
    """libp2p alone waits for over 100 s."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with open_at(1, "/ip4/127.0.0.1/tcp/0") as first:
        peer = first.addresses()[0].rpartition("/")[2]
        async with open_at(2, "/ip4/127.0.0.1/tcp/0") as second:
            with trio.fail_after(9), pytest.raises(Unreachable):
                await second.connect(f"/ip4/127.0.0.1/tcp/{port}/p2p/{peer}")
    await listeners[0].aclose()


async def test_a_peer_that_was_down_is_dialled_again_at_once() -> None:
    """libp2p alone refuses to for a minute."""
    async with open_at(1, "/ip4/127.0.0.1/tcp/0") as first:
        address = first.addresses()[0]
    listen = address.rpartition("/p2p/")[0]
    async with open_at(2, "/ip4/127.0.0.1/tcp/0") as second:
        with pytest.raises(Unreachable):
            await second.connect(address)
        async with open_at(1, listen) as first:
            assert await second.connect(address) == first.id


async def test_connecting_takes_less_than_a_quarter_of_a_second() -> None:
    """The quickest of three; libp2p alone waits so long for nothing."""
    took = []
    async with open_at(1, "/ip4/127.0.0.1/tcp/0") as first:
        for number in (2, 3, 4):
            async with open_at(number, "/ip4/127.0.0.1/tcp/0") as other:
                asked_at = trio.current_time()
                await other.connect(first.addresses()[0])
                took.append(trio.current_time() - asked_at)

    assert min(took) < 0.25


async def test_where_a_peer_speaks_from_is_known_in_either_family() -> None:
    """libp2p alone does not know it of IPv6, and no limit for an address could be held."""
    async with open_at(1, "/ip6/::1/tcp/0") as first, open_at(2, "/ip4/127.0.0.1/tcp/0") as second:
        events = first.peer_events()
        await second.connect(first.addresses()[0])
        await events.receive()

        assert first.links()[0].host == second.links()[0].host == "::1"


async def test_bytes_that_come_one_at_a_time_are_read() -> None:
    """libp2p's readers give up after 101 pieces."""
    left, right = await connected_sockets()
    stream = BufferedTcpStream(right)
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            for number in range(200):
                await left.send_all(bytes([number]))
                await trio.lowlevel.checkpoint()

        nursery.start_soon(send)
        assert await stream.read(200) == bytes(range(200))
    await left.aclose()
    await stream.close()


class Connection:
    """As far as it is looked at: what has arrived on its streams."""

    def __init__(self, count: int) -> None:
        self.stream_buffers = {1: bytearray(count)}


def allows(buffered: Buffered, connection: Connection) -> bool:
    return buffered.allows(connection)  # type: ignore[arg-type]  # all it uses is stream_buffers


def test_bytes_that_nobody_reads_are_bounded_for_a_connection_and_for_all() -> None:
    """Of many that together are too many, those go that have more than their share."""
    buffered = Buffered()
    assert allows(buffered, Connection(CONNECTION_BUFFERED_BYTES_MAX))
    assert not allows(buffered, Connection(CONNECTION_BUFFERED_BYTES_MAX + 1))

    large = CONNECTION_BUFFERED_BYTES_MAX
    crowd = [Connection(large) for _ in range(BUFFERED_BYTES_MAX // large)]
    modest = Connection(1000)
    assert all(allows(buffered, one) for one in crowd)
    assert allows(buffered, modest)
    assert not allows(buffered, crowd[0])

    for one in crowd[1:]:  # read by now, though nothing has arrived since
        one.stream_buffers[1].clear()
    assert allows(buffered, crowd[0])


class OpenedStream:
    """All that the limit on streams looks at."""

    def __init__(self) -> None:
        self.is_reset = False

    async def reset(self) -> None:
        self.is_reset = True


class SomeConnection:
    """The same of a connection."""


async def test_streams_that_come_and_go_are_refused_beyond_a_pace(autojump_clock: object) -> None:
    async def work(connection: object, stream: object) -> None:
        await trio.lowlevel.checkpoint()

    serve: Any = _limited(work)
    one, another = SomeConnection(), SomeConnection()

    async def refused(connection: SomeConnection, count: int) -> int:
        streams = [OpenedStream() for _ in range(count)]
        for stream in streams:
            await serve(connection, stream)
        return sum(stream.is_reset for stream in streams)

    assert await refused(one, STREAMS_BURST + 10) == 10
    assert await refused(another, STREAMS_BURST) == 0
    await trio.sleep(1)
    assert await refused(one, int(STREAMS_PER_SECOND) + 5) == 5


async def connected_sockets() -> tuple[trio.SocketStream, trio.SocketStream]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    left = await trio.open_tcp_stream(*listeners[0].socket.getsockname())
    right = await listeners[0].accept()
    await listeners[0].aclose()
    return left, right


async def test_what_the_body_raises_comes_out_as_it_is() -> None:
    """Not in the groups of a dozen nurseries."""
    with pytest.raises(BadInput, match=r"^mine$"):
        async with open_at(1, "/ip4/127.0.0.1/tcp/0"):
            raise BadInput("mine")


def test_another_libp2p_is_refused() -> None:
    check_version(LIBP2P_VERSION)
    with pytest.raises(Unusable, match=f"install libp2p=={LIBP2P_VERSION}"):
        check_version("0.9.0")


def test_what_others_import_is_free_of_libp2p() -> None:
    """It takes seconds; a command line that asks a node must not pay for it."""
    program = (
        "import sys; import p2pgrid.net.network, p2pgrid.net.address, p2pgrid.net.memory, "
        "p2pgrid.net.discovery; sys.exit('libp2p' in sys.modules or 'zeroconf' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=30)

    assert done.returncode == 0
