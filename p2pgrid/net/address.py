"""Multiaddrs as text: where a peer can be dialled, and who must answer there.

    /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…
    └──── transport ──────┘     └ peer id: base58 of 6 fixed bytes and the node's key

Pure and quick to import, so that commands can check addresses without libp2p.
"""

from p2pgrid.errors import BadInput
from p2pgrid.limits.net import ADDRESS_BYTES_MAX
from p2pgrid.model.ids import ID_BYTES, NodeId

_PEER_ID_PREFIX = bytes.fromhex("002408011220")
"""Identity multihash, 36 bytes: protobuf of an Ed25519 key, 32 bytes."""
_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_PEER_PART = "/p2p/"
_PEER_TEXT_MAX = 64


def peer_text(node: NodeId) -> str:
    """The libp2p peer id of a node, as people write it.

    >>> peer_text(NodeId(bytes(32)))
    '12D3KooW9pNAk8aiBuGVQtWRdbkLmo5qVL3e2h5UxbN2Nz9ttwiw'
    """
    return _base58(peer_id_bytes(node))


def peer_id_bytes(node: NodeId) -> bytes:
    """The libp2p peer id of a node, 38 bytes."""
    return _PEER_ID_PREFIX + node


def node_of_peer_id(peer_id: bytes) -> NodeId | None:
    """The node behind a libp2p peer id; None when its key is not Ed25519."""
    if len(peer_id) != len(_PEER_ID_PREFIX) + ID_BYTES or not peer_id.startswith(_PEER_ID_PREFIX):
        return None
    return NodeId(peer_id[len(_PEER_ID_PREFIX) :])


def node_of_text(text: str) -> NodeId:
    """Read a peer id. Raises BadInput.

    >>> node_of_text(peer_text(NodeId(b"k" * 32))) == b"k" * 32
    True
    """
    node = node_of_peer_id(_from_base58(text)) if len(text) <= _PEER_TEXT_MAX else None
    if node is None:
        raise BadInput(f"{text[:_PEER_TEXT_MAX]!r} is not the peer id of a node (12D3KooW…)")
    return node


def split_address(address: str) -> tuple[str, NodeId]:
    """The transport part of an address and the node that must answer there. Raises BadInput.

    >>> split_address("/ip4/192.0.2.7/tcp/4001/p2p/" + peer_text(NodeId(bytes(32))))[0]
    '/ip4/192.0.2.7/tcp/4001'
    """
    transport, part, peer = address.rpartition(_PEER_PART)
    if not part or not transport.startswith("/") or len(address) > ADDRESS_BYTES_MAX:
        raise BadInput(
            f"{address[:ADDRESS_BYTES_MAX]!r} is not an address of a node; "
            "write for example /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…"
        )
    return transport, node_of_text(peer)


def join_address(transport: str, node: NodeId) -> str:
    """The address of `node` at `transport`."""
    return f"{transport}{_PEER_PART}{peer_text(node)}"


def _base58(data: bytes) -> str:
    zeros = len(data) - len(data.lstrip(b"\0"))
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return _ALPHABET[0] * zeros + digits


def _from_base58(text: str) -> bytes:
    """Empty for anything that is not base58."""
    number = 0
    for character in text:
        digit = _ALPHABET.find(character)
        if digit < 0:
            return b""
        number = number * len(_ALPHABET) + digit
    zeros = len(text) - len(text.lstrip(_ALPHABET[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
