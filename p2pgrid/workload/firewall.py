"""Who may talk to whom on a node's bridge, as one nftables document.

    container → node       answers and neighbour discovery only: no control socket, no service
    node → container       everything
    container → container  within one reservation
    container → outside    public addresses, as the node's own; never the farmer's networks
    outside → container    answers only
    container as another   a frame with a foreign hardware or IPv6 address is dropped

Pure. The whole document replaces what was there in one transaction: there is nothing to forget.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Network, collapse_addresses
from itertools import permutations

from p2pgrid.model.ids import RecordId
from p2pgrid.workload.names import ContainerNames, NodeNames

Json = dict[str, object]

NEVER_OUTSIDE = tuple(
    IPv6Network(network)
    for network in (
        "::/8",  # local, unspecified, IPv4 in disguise, and by NAT64 (64:ff9b::/96, RFC 6052)
        "2002::/16",  # IPv4 by 6to4
        "fc00::/7",  # unique local
        "fe80::/10",  # the link
        "fec0::/10",  # site local, deprecated
        "ff00::/8",  # multicast
    )
)
"""Where the outside is the farmer's own house, whatever its addresses are."""

_ESTABLISHED: Json = {
    "match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}
}
_NEIGHBOUR_DISCOVERY = ["nd-neighbor-solicit", "nd-neighbor-advert", "echo-request"]


@dataclass(frozen=True, slots=True)
class Guest:
    """A container on the bridge."""

    names: ContainerNames

    @property
    def reservation(self) -> RecordId:
        """Whose other containers it may talk to."""
        return self.names.reservation


def ruleset(node: NodeNames, guests: Sequence[Guest], on_link: Sequence[IPv6Network]) -> Json:
    """Everything about this node's containers, for `nft -j -f -`.

    Args:
        node: whose bridge it is about.
        guests: every container that has a link, whether it runs or not.
        on_link: the networks that the machine itself is in; never reached from a container.
    """
    return {
        "nftables": [
            *_replaced("bridge", node.table),
            *_between_ports(node, guests),
            *_replaced("inet", node.table),
            *_between_networks(node, on_link),
        ]
    }


def no_ruleset(node: NodeNames) -> Json:
    """Removes it all; repeatable."""
    families = ("bridge", "inet")
    return {"nftables": [c for family in families for c in _replaced(family, node.table)[:2]]}


def _replaced(family: str, table: str) -> list[Json]:
    """Added first, so that deleting never fails."""
    it = {"table": {"family": family, "name": table}}
    return [{"add": it}, {"delete": it}, {"add": it}]


def _between_ports(node: NodeNames, guests: Sequence[Guest]) -> list[Json]:
    senders: list[object] = [
        [g.names.link, g.names.hardware_address, str(g.names.address)] for g in guests
    ]
    pairs: list[object] = [
        [one.names.link, other.names.link]
        for one, other in permutations(guests, 2)
        if one.reservation == other.reservation
    ]
    from_guest = _is("iifname", f"{node.link_prefix}*")
    sender = [_meta("iifname"), _payload("ether", "saddr"), _payload("ip6", "saddr")]
    pair = [_meta("iifname"), _meta("oifname")]
    table = ("bridge", node.table)
    return [
        _set(table, "senders", ["ifname", "ether_addr", "ipv6_addr"], senders),
        _set(table, "pairs", ["ifname", "ifname"], pairs),
        _chain(table, "arriving", "filter", "prerouting", 0),
        _rule(table, "arriving", _match({"concat": sender}, "@senders"), {"accept": None}),
        _rule(table, "arriving", from_guest, {"drop": None}),
        _chain(table, "passing", "filter", "forward", 0),
        _rule(table, "passing", _match({"concat": pair}, "@pairs"), {"accept": None}),
        _rule(table, "passing", from_guest, {"drop": None}),
    ]


def _between_networks(node: NodeNames, on_link: Sequence[IPv6Network]) -> list[Json]:
    table = ("inet", node.table)
    from_guest, to_guest = _is("iifname", node.bridge), _is("oifname", node.bridge)
    discovery = _match(_payload("icmpv6", "type"), {"set": _NEIGHBOUR_DISCOVERY})
    ipv6_only = _match(_meta("nfproto"), "ipv6", op="!=")
    destination = _payload("ip6", "daddr")
    # A set may not name an address twice.
    apart = collapse_addresses([*NEVER_OUTSIDE, *on_link])
    forbidden = {"set": [_prefix(network) for network in apart]}
    return [
        _chain(table, "input", "filter", "input", -10),
        _rule(table, "input", from_guest, _ESTABLISHED, {"accept": None}),
        _rule(table, "input", from_guest, discovery, {"accept": None}),
        _rule(table, "input", from_guest, {"drop": None}),
        _chain(table, "forward", "filter", "forward", -10),
        # Seen here only where bridges are filtered as networks, as Docker sets it; the bridge
        # table has decided about it already.
        _rule(table, "forward", from_guest, to_guest, {"accept": None}),
        _rule(table, "forward", from_guest, ipv6_only, {"drop": None}),
        _rule(table, "forward", from_guest, _match(destination, forbidden), {"drop": None}),
        _rule(table, "forward", from_guest, {"accept": None}),
        _rule(table, "forward", to_guest, _ESTABLISHED, {"accept": None}),
        _rule(table, "forward", to_guest, {"drop": None}),
        _chain(table, "leaving", "nat", "postrouting", 100),
        _rule(
            table,
            "leaving",
            _match(_payload("ip6", "saddr"), _prefix(node.network)),
            _match(_meta("oifname"), node.bridge, op="!="),
            {"masquerade": None},
        ),
    ]


def _meta(key: str) -> Json:
    return {"meta": {"key": key}}


def _payload(protocol: str, field: str) -> Json:
    return {"payload": {"protocol": protocol, "field": field}}


def _prefix(network: IPv6Network) -> Json:
    return {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}


def _match(left: Json, right: object, op: str = "==") -> Json:
    return {"match": {"op": op, "left": left, "right": right}}


def _is(key: str, value: str) -> Json:
    return _match(_meta(key), value)


def _set(table: tuple[str, str], name: str, kinds: list[str], elements: Sequence[object]) -> Json:
    it: Json = {"family": table[0], "table": table[1], "name": name, "type": kinds}
    if elements:
        it["elem"] = [{"concat": element} for element in elements]
    return {"add": {"set": it}}


def _chain(table: tuple[str, str], name: str, kind: str, hook: str, priority: int) -> Json:
    return {
        "add": {
            "chain": {
                "family": table[0],
                "table": table[1],
                "name": name,
                "type": kind,
                "hook": hook,
                "prio": priority,
                "policy": "accept",
            }
        }
    }


def _rule(table: tuple[str, str], chain: str, *expressions: Json) -> Json:
    it = {"family": table[0], "table": table[1], "chain": chain, "expr": list(expressions)}
    return {"add": {"rule": it}}
