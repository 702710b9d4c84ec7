"""Where peers can be dialled, as far as this run knows. Bounded; the stalest peer goes first."""

from collections.abc import Iterable

from p2pgrid.errors import BadInput
from p2pgrid.limits.net import ADDRESS_BOOK_PEERS_MAX, PEER_ADDRESSES_MAX
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import split_address


class AddressBook:
    """Transport addresses by peer."""

    def __init__(self) -> None:
        self._transports: dict[NodeId, tuple[str, ...]] = {}

    def learn(self, peer: NodeId, addresses: Iterable[str]) -> None:
        """Remember addresses of `peer`, newest first; those of others and nonsense are left out."""
        transports = [one for address in addresses if (one := _transport(address, peer))]
        known = self._transports.pop(peer, ())
        merged = tuple(dict.fromkeys((*transports, *known)))[:PEER_ADDRESSES_MAX]
        if merged:
            self._transports[peer] = merged
        if len(self._transports) > ADDRESS_BOOK_PEERS_MAX:
            del self._transports[next(iter(self._transports))]

    def transports(self, peer: NodeId) -> tuple[str, ...]:
        """Transport addresses of `peer`, newest first."""
        return self._transports.get(peer, ())


def _transport(address: str, peer: NodeId) -> str | None:
    try:
        transport, node = split_address(address)
    except BadInput:
        return None
    return transport if node == peer else None
