"""Nodes of one grid find each other on the local network (RFC 6762, RFC 6763).

    <network id, 32 hex>-<node id, 24 hex>._p2pgrid._udp.local.   TXT: a0=<address> a1=<address> …

Other grids are told by the name and never looked at. What is announced is not
believed: whoever answers at an address must own the key in it.
"""

import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import trio
import zeroconf

from p2pgrid.errors import BadInput
from p2pgrid.limits.net import MDNS_NAMES_QUEUE_MAX, MDNS_RESOLVE_SECONDS_MAX, PEER_ADDRESSES_MAX
from p2pgrid.model.ids import NetworkId, NodeId
from p2pgrid.net.address import split_address
from p2pgrid.net.scopes import in_thread

log = logging.getLogger(__name__)

SERVICE = "_p2pgrid._udp.local."
_NODE_DIGITS = 24
_CLOSE_SECONDS_MAX = 3.0
_MILLISECONDS = 1000


@dataclass(frozen=True, slots=True)
class Sighting:
    """A node that announces itself."""

    node: NodeId
    addresses: tuple[str, ...]


@asynccontextmanager
async def open_mdns(
    *,
    node: NodeId,
    network_id: NetworkId,
    addresses: Sequence[str],
    on_sighting: Callable[[Sighting], None],
    interfaces: Sequence[str] | None = None,
) -> AsyncGenerator[None]:
    """Announce `addresses` and watch out for others, during the block.

    Where multicast is not possible, that is logged and nothing happens.

    Args:
        node: ours.
        network_id: only nodes of this grid are sighted.
        addresses: ours.
        on_sighting: called in trio, again whenever a node announces itself anew.
        interfaces: IP addresses of the interfaces to use; None for all.
    """
    watch = _Watch(node, network_id, on_sighting, trio.lowlevel.current_trio_token())
    try:
        daemon = await in_thread(partial(_start, interfaces))
    except OSError as error:
        log.warning("peers on the local network cannot be found: %s", error)
        yield
        return
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.resolve, daemon)
        nursery.start_soon(_announce, daemon, _info(node, network_id, addresses))
        browser = zeroconf.ServiceBrowser(daemon, SERVICE, handlers=[watch.on_change])
        try:
            yield
        finally:
            nursery.cancel_scope.cancel()
            with trio.CancelScope(deadline=trio.current_time() + _CLOSE_SECONDS_MAX, shield=True):
                await in_thread(browser.cancel)
                await in_thread(daemon.close)


class _Watch:
    """Names that zeroconf's thread hears, resolved one after the other in trio."""

    def __init__(
        self,
        node: NodeId,
        network_id: NetworkId,
        on_sighting: Callable[[Sighting], None],
        token: trio.lowlevel.TrioToken,
    ) -> None:
        self._own = service_name(node, network_id)
        self._prefix = f"{network_id.hex()}-"
        self._on_sighting = on_sighting
        self._token = token
        self._send, self._receive = trio.open_memory_channel[str](MDNS_NAMES_QUEUE_MAX)

    def on_change(
        self,
        zeroconf: zeroconf.Zeroconf,  # noqa: ARG002 - zeroconf passes all by name
        service_type: str,  # noqa: ARG002 - zeroconf's
        name: str,
        state_change: zeroconf.ServiceStateChange,
    ) -> None:
        """Called by zeroconf in its own thread."""
        if state_change is _REMOVED or name == self._own or not name.startswith(self._prefix):
            return
        try:
            self._token.run_sync_soon(self._queue, name)
        except trio.RunFinishedError:
            return

    def _queue(self, name: str) -> None:
        try:
            self._send.send_nowait(name)
        except trio.WouldBlock:
            log.debug("more names are announced than can be looked at")

    async def resolve(self, daemon: zeroconf.Zeroconf) -> None:
        """Look every name up and report who it is."""
        async for name in self._receive:
            info = await in_thread(
                partial(
                    daemon.get_service_info,
                    SERVICE,
                    name,
                    int(MDNS_RESOLVE_SECONDS_MAX * _MILLISECONDS),
                )
            )
            sighting = None if info is None else sighting_of(info.properties)
            if sighting is not None:
                self._on_sighting(sighting)


_REMOVED = zeroconf.ServiceStateChange.Removed


def service_name(node: NodeId, network_id: NetworkId) -> str:
    """Under which a node announces itself."""
    return f"{network_id.hex()}-{node.hex()[:_NODE_DIGITS]}.{SERVICE}"


def sighting_of(properties: Mapping[bytes, bytes | None]) -> Sighting | None:
    """Read a TXT record; None when it names no node, or several."""
    texts = [
        value.decode("ascii", errors="replace")
        for key, value in properties.items()
        if key.startswith(b"a") and value is not None
    ]
    nodes: set[NodeId] = set()
    for text in texts:
        try:
            nodes.add(split_address(text)[1])
        except BadInput:
            return None
    return Sighting(nodes.pop(), tuple(texts[:PEER_ADDRESSES_MAX])) if len(nodes) == 1 else None


def _start(interfaces: Sequence[str] | None) -> zeroconf.Zeroconf:
    if interfaces is None:
        return zeroconf.Zeroconf()
    return zeroconf.Zeroconf(interfaces=list(interfaces))


def _info(node: NodeId, network_id: NetworkId, addresses: Sequence[str]) -> zeroconf.ServiceInfo:
    return zeroconf.ServiceInfo(
        SERVICE,
        service_name(node, network_id),
        port=1,
        properties={f"a{number}": address for number, address in enumerate(addresses)},
        server=f"{node.hex()[:_NODE_DIGITS]}.local.",
        parsed_addresses=_hosts(addresses),  # nobody reads them, but nothing resolves without
    )


def _hosts(addresses: Sequence[str]) -> list[str]:
    """The IP addresses in multiaddrs."""
    parts = [address.split("/") for address in addresses]
    return [part[2] for part in parts if part[1] in ("ip4", "ip6")] or ["127.0.0.1"]


async def _announce(daemon: zeroconf.Zeroconf, info: zeroconf.ServiceInfo) -> None:
    try:
        await in_thread(partial(daemon.register_service, info))
    except (zeroconf.Error, OSError) as error:
        log.warning("this node cannot announce itself on the local network: %s", error)
