"""Who shares a prefix, and who does not."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import join_address
from p2pgrid.net.prefix import prefix_of, prefix_of_host


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/ip4/192.0.2.7/tcp/4001", "/ip4/192.0.255.1/tcp/1"),
        ("/ip4/127.0.0.1/tcp/4001", "/ip4/127.0.0.1/tcp/4002"),
        ("/ip6/2001:db8::1/tcp/1", "/ip6/2001:db8:ffff::2/tcp/1"),
        ("/ip6/::ffff:192.0.2.7/tcp/1", "/ip4/192.0.9.9/tcp/1"),
        ("/dns4/a.example.org/tcp/1", "/dns6/b.EXAMPLE.org./tcp/1"),
    ],
)
def test_neighbours_share_a_prefix(one: str, other: str) -> None:
    assert prefix_of(one) == prefix_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/ip4/192.0.2.7/tcp/4001", "/ip4/192.1.2.7/tcp/4001"),
        ("/ip4/127.0.0.1/tcp/1", "/ip4/10.0.0.1/tcp/1"),
        ("/ip6/2001:db8::1/tcp/1", "/ip6/2001:db9::1/tcp/1"),
        ("/dns4/example.org/tcp/1", "/dns4/example.net/tcp/1"),
        ("/memory/01", "/memory/02"),
    ],
)
def test_strangers_do_not(one: str, other: str) -> None:
    assert prefix_of(one) != prefix_of(other)


@given(st.ip_addresses())
def test_every_address_has_one_prefix_with_or_without_its_peer(
    ip: IPv4Address | IPv6Address,
) -> None:
    transport = f"/ip{ip.version}/{ip}/tcp/4001"

    assert prefix_of(transport) == prefix_of(join_address(transport, NodeId(bytes(32))))
    assert prefix_of(transport) == prefix_of_host(str(ip)) != ""


@given(st.text())
def test_nonsense_does_no_harm(text: str) -> None:
    assert isinstance(prefix_of(text), str)
    assert prefix_of_host("") == ""
