"""A libp2p host with Noise and Yamux over TCP, and nothing else.

Its defaults accept plaintext, with which anybody is anybody, and mplex, which
one bad frame ends.
"""

import ipaddress
import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager

import ifaddr
import trio
from libp2p import new_host
from libp2p.abc import IHost, INetConn
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.rcmgr import Direction
from libp2p.rcmgr.manager import ResourceLimits, ResourceManager
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_ID
from libp2p.security.noise.transport import Transport as Noise
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX_ID
from multiaddr import Multiaddr
from nacl.signing import SigningKey

from p2pgrid.errors import BadInput, Unusable
from p2pgrid.limits.net import (
    CONNECTIONS_MAX,
    CONNECTIONS_OUTBOUND_RESERVED,
    DIAL_SECONDS_MAX,
    STREAMS_PER_CONNECTION_MAX,
    UPGRADE_SECONDS_MAX,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import peer_id_bytes
from p2pgrid.net.libp2p_patches import BufferedTcpStream, PatientYamux, apply_patches

log = logging.getLogger(__name__)

_CLOSE_SECONDS_MAX = 3.0


@asynccontextmanager
async def open_host(key: SigningKey, listen: Sequence[str]) -> AsyncGenerator[IHost]:
    """A host that listens during the block.

    Raises:
        BadInput: an address to listen on makes no sense.
        Unusable: it cannot be listened on, or libp2p is not the version we know.
    """
    apply_patches()
    addresses = [_listen_address(one) for one in listen]
    pair = create_new_key_pair(key.encode())
    host = new_host(
        key_pair=pair,
        sec_opt={NOISE_ID: Noise(pair, noise_privkey=create_noise_key_pair().private_key)},
        muxer_opt={TProtocol(YAMUX_ID): PatientYamux},
        listen_addrs=addresses,
        connection_config=_connection_config(),
        resource_manager=_resource_manager(),
        disable_identify_address_discovery=True,
    )
    network = swarm_of(host)
    network.retry_config = RetryConfig(max_retries=0)
    network.auto_connector.maybe_connect = trio.lowlevel.checkpoint  # type: ignore[method-assign]  # we choose our peers
    network.auto_connector.record_disconnect = _forget  # type: ignore[method-assign]  # nor redial them
    async with host.run(listen_addrs=addresses):
        missing = [one for one in addresses if str(one) not in network.listeners]
        if missing:
            raise Unusable(
                f"cannot listen on {missing[0]}: another program has the port, "
                "or the address is not of this machine"
            )
        try:
            yield host
        finally:
            # libp2p would leave its listeners open, and the program would go on listening.
            with trio.CancelScope(deadline=trio.current_time() + _CLOSE_SECONDS_MAX, shield=True):
                await close_sockets(network.get_connections())
                await network.close()


def swarm_of(host: IHost) -> Swarm:
    """The part of a host that holds its connections."""
    network = host.get_network()
    assert isinstance(network, Swarm)
    return network


async def close_sockets(connections: Iterable[INetConn]) -> None:
    """Without a farewell: a peer that takes no bytes would hold us up."""
    for connection in connections:
        yamux = connection.muxed_conn
        assert isinstance(yamux, PatientYamux)
        await yamux.secured_conn.close()


def listening_transports(host: IHost) -> tuple[str, ...]:
    """Transport addresses, as others can dial them, best first.

    Wildcards are replaced by the addresses of this machine's interfaces;
    loopback ones stand only where there is nothing else.
    """
    found: dict[str, int] = {}
    for bound in host.get_transport_addrs():
        ip, port = _ip_and_port(bound)
        for one in _interface_addresses(ip.version) if ip.is_unspecified else (ip,):
            found[f"/ip{one.version}/{one}/tcp/{port}"] = _rank(one)
    best = {one: rank for one, rank in found.items() if rank < _LOOPBACK_RANK} or found
    return tuple(sorted(best, key=lambda one: (best[one], one)))


def bound_to(host: IHost) -> tuple[tuple[str, int], ...]:
    """IP addresses and TCP ports that the host listens on, wildcards as they are."""
    bound = [_ip_and_port(one) for one in host.get_transport_addrs()]
    return tuple((str(ip), port) for ip, port in bound)


def remote_hosts(host: IHost, peer: NodeId) -> tuple[str, ...]:
    """IP addresses from which a connected peer speaks to us."""
    connections = swarm_of(host).get_connections(ID(peer_id_bytes(peer)))
    muxers = [one.muxed_conn for one in connections if isinstance(one.muxed_conn, PatientYamux)]
    remotes = [muxer.get_remote_address() for muxer in muxers]
    return tuple(dict.fromkeys(remote[0] for remote in remotes if remote is not None))


def remote_host(host: IHost, peer: NodeId) -> str:
    """One of them; "" of a peer that is not connected."""
    return next(iter(remote_hosts(host, peer)), "")


def is_outbound(host: IHost, peer: NodeId) -> bool:
    """Whether we dialled one of the connections to a peer."""
    connections = swarm_of(host).get_connections(ID(peer_id_bytes(peer)))
    return any(getattr(one, "direction", None) is Direction.OUTBOUND for one in connections)


def round_trip_us(host: IHost, peer: NodeId) -> int | None:
    """Microseconds to a connected peer and back; None when nobody knows."""
    connections = swarm_of(host).get_connections(ID(peer_id_bytes(peer)))
    found = [_tcp_round_trip_us(one.muxed_conn) for one in connections]
    return min((one for one in found if one is not None), default=None)


def _tcp_round_trip_us(muxer: object) -> int | None:
    layer = muxer
    for below in ("secured_conn", "conn", "read_writer", "read_write_closer", "stream"):
        layer = getattr(layer, below, None)
    return layer.round_trip_us() if isinstance(layer, BufferedTcpStream) else None


_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address
_LOOPBACK_RANK = 9


def _rank(ip: _Ip) -> int:
    """Global IPv6 first: it needs no port forwarding."""
    if ip.is_loopback:
        return _LOOPBACK_RANK
    return (0 if ip.is_global else 2) + (0 if ip.version == 6 else 1)


def _interface_addresses(ip_version: int) -> Iterable[_Ip]:
    for adapter in ifaddr.get_adapters():
        for one in adapter.ips:
            text = one.ip if isinstance(one.ip, str) else one.ip[0]
            ip = ipaddress.ip_address(text)
            if ip.version == ip_version and not ip.is_link_local:
                yield ip


def _ip_and_port(address: Multiaddr) -> tuple[_Ip, int]:
    parts = str(address).split("/")
    return ipaddress.ip_address(parts[2]), int(parts[4])


def _listen_address(text: str) -> Multiaddr:
    try:
        address = Multiaddr(text)
        _ip_and_port(address)
        names = [protocol.name for protocol in address.protocols()]
    except (ValueError, IndexError) as error:
        raise BadInput(f"{text!r} cannot be listened on: {error}") from error
    if names not in (["ip4", "tcp"], ["ip6", "tcp"]):
        raise BadInput(f"{text!r} cannot be listened on; write for example /ip4/0.0.0.0/tcp/4001")
    return address


def _forget(peer_id: ID) -> None:
    """Instead of remembering every peer that ever disconnected, for ever."""


def _connection_config() -> ConnectionConfig:
    return ConnectionConfig(
        max_connections=CONNECTIONS_MAX,
        high_watermark=CONNECTIONS_MAX,
        low_watermark=CONNECTIONS_OUTBOUND_RESERVED,
        min_connections=CONNECTIONS_OUTBOUND_RESERVED,
        max_connections_per_peer=2,
        inbound_upgrade_timeout=UPGRADE_SECONDS_MAX,
        outbound_upgrade_timeout=UPGRADE_SECONDS_MAX,
        dial_timeout=DIAL_SECONDS_MAX,
    )


def _resource_manager() -> ResourceManager:
    """Counts only. Its circuit breaker refuses everybody for a minute after five failures."""
    return ResourceManager(
        limits=ResourceLimits(
            max_connections=CONNECTIONS_MAX + CONNECTIONS_OUTBOUND_RESERVED,
            max_streams=CONNECTIONS_MAX * STREAMS_PER_CONNECTION_MAX * 2,
        ),
        enable_metrics=False,
        enable_circuit_breaker=False,
        enable_graceful_degradation=False,
        enable_memory_limits=False,
        enable_rate_limiting=False,
    )
