"""Which neighbourhood of the internet an address is in: who owns one address there may own all.

A single operator has a /16 of IPv4 or a /32 of IPv6 now and then, seldom several. Peers
of distinct prefixes are therefore more likely to be of distinct people.
"""

import ipaddress

_PREFIX_BITS = {4: 16, 6: 32}
_DNS = ("dns", "dns4", "dns6", "dnsaddr")
_LABELS = 2
"""Of a DNS name: whoever has `example.org` has every name below it."""


def prefix_of(address: str) -> str:
    """The prefix of a multiaddr, with or without the peer at its end.

    Private and loopback ranges are prefixes like any other. Of a DNS name it is the
    domain: what it leads to shows when it is dialled. Anything else is its own prefix.

    >>> prefix_of("/ip4/192.0.2.7/tcp/4001"), prefix_of("/ip6/2001:db8:5::1/tcp/4001/p2p/12D3")
    ('192.0.0.0/16', '2001:db8::/32')
    >>> prefix_of("/dns4/Node7.Example.org/tcp/4001"), prefix_of("/memory/05")
    ('example.org', 'memory/05')
    """
    kind, _, rest = address.removeprefix("/").partition("/")
    value = rest.partition("/")[0]
    if kind in _DNS:
        return ".".join(value.lower().rstrip(".").split(".")[-_LABELS:])
    return prefix_of_host(value) or f"{kind}/{value}"


def prefix_of_host(host: str) -> str:
    """The prefix of an IP address, which may have a zone; "" when it is none.

    >>> [prefix_of_host(host) for host in ("10.1.2.3", "::ffff:10.1.2.3", "fe80::1%eth0")]
    ['10.1.0.0/16', '10.1.0.0/16', 'fe80::/32']
    """
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return str(ipaddress.ip_network((ip, _PREFIX_BITS[ip.version]), strict=False))


def is_private_host(host: str) -> bool:
    """Whether an IP address is one of those that every site uses for itself.

    Who is connected to us from there is on our own site, and so near.

    >>> [is_private_host(host) for host in ("192.168.1.7", "fe80::1%eth0", "fd00::7", "8.8.8.8")]
    [True, True, True, False]
    """
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_private
    except ValueError:
        return False
