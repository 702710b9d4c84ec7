"""Peer ids are base58 as libp2p writes it; nonsense is no address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libp2p.peer.id import ID

from p2pgrid.errors import BadInput
from p2pgrid.limits.net import ADDRESS_BOOK_PEERS_MAX, PEER_ADDRESSES_MAX
from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import (
    join_address,
    node_of_peer_id,
    node_of_text,
    peer_id_bytes,
    peer_text,
    split_address,
)
from p2pgrid.net.address_book import AddressBook

keys = st.binary(min_size=32, max_size=32).map(NodeId)


@given(keys)
def test_a_peer_id_reads_back(node: NodeId) -> None:
    assert node_of_text(peer_text(node)) == node
    assert node_of_peer_id(peer_id_bytes(node)) == node
    assert split_address(join_address("/ip6/::1/tcp/1", node)) == ("/ip6/::1/tcp/1", node)


@given(keys)
def test_a_peer_id_is_written_as_libp2p_writes_it(node: NodeId) -> None:
    assert peer_text(node) == ID(peer_id_bytes(node)).to_base58()


@given(st.text(max_size=80))
def test_any_text_is_a_peer_id_or_bad_input(text: str) -> None:
    try:
        node = node_of_text(text)
    except BadInput:
        return
    assert peer_text(node) == text


@pytest.mark.parametrize(
    "address",
    ["", "/p2p/", "x/p2p/" + peer_text(NodeId(bytes(32))), "/ip4/1.2.3.4/tcp/1", "/" + "a" * 300],
)
def test_nonsense_is_no_address(address: str) -> None:
    with pytest.raises(BadInput):
        split_address(address)


def test_a_key_of_another_kind_is_no_node() -> None:
    assert node_of_peer_id(bytes.fromhex("1220") + bytes(32)) is None
    assert node_of_peer_id(bytes.fromhex("002408021220") + bytes(32)) is None


def test_the_book_keeps_the_latest_addresses_of_the_peer_itself() -> None:
    node, other = NodeId(b"n" * 32), NodeId(b"o" * 32)
    book = AddressBook()
    book.learn(node, [join_address(f"/ip4/1.1.1.1/tcp/{n}", node) for n in range(20)])
    book.learn(node, ["nonsense", join_address("/ip4/2.2.2.2/tcp/2", other)])
    book.learn(node, [join_address("/ip4/3.3.3.3/tcp/3", node)])

    assert book.transports(node)[:2] == ("/ip4/3.3.3.3/tcp/3", "/ip4/1.1.1.1/tcp/0")
    assert len(book.transports(node)) == PEER_ADDRESSES_MAX
    assert book.transports(other) == ()


def test_the_book_forgets_who_was_not_heard_of_longest() -> None:
    book = AddressBook()
    nodes = [NodeId(n.to_bytes(32, "big")) for n in range(ADDRESS_BOOK_PEERS_MAX + 1)]
    for node in nodes:
        book.learn(node, [join_address("/ip4/1.1.1.1/tcp/1", node)])

    assert book.transports(nodes[0]) == ()
    assert book.transports(nodes[-1]) == ("/ip4/1.1.1.1/tcp/1",)
