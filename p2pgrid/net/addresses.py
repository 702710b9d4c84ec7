"""Node ids as libp2p writes them, without importing libp2p.

A peer id of an Ed25519 key is six fixed bytes and the key itself, in base58:
`12D3KooW…`. Other kinds of keys are not peers of ours.
"""

import base58

from p2pgrid.errors import BadInput
from p2pgrid.model.ids import ID_BYTES, NodeId

_PREFIX = b"\x00\x24\x08\x01\x12\x20"
"""Identity multihash of a protobuf that says: Ed25519, 32 bytes."""


def peer_text(node: bytes) -> str:
    """The libp2p peer id of a node.

    >>> peer_text(bytes(32))[:8]
    '12D3KooW'
    """
    return base58.b58encode(_PREFIX + node).decode()


def node_of_peer_text(text: str) -> NodeId:
    """The node of a libp2p peer id. Raises BadInput.

    >>> node_of_peer_text(peer_text(bytes(32))) == bytes(32)
    True
    """
    try:
        raw = base58.b58decode(text)
    except ValueError as error:
        raise BadInput(f"{text[:60]!r} is not a peer id") from error
    if len(raw) != len(_PREFIX) + ID_BYTES or not raw.startswith(_PREFIX):
        raise BadInput(f"{text[:60]!r} is not the peer id of an Ed25519 key (12D3KooW…)")
    return NodeId(raw[len(_PREFIX) :])
