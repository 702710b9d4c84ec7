"""Blame is for what a peer answered, and for nothing else that goes wrong meanwhile."""

import pytest

from p2pgrid.errors import (
    BadSignature,
    BrokenProtocol,
    GridError,
    MalformedRecord,
    Refused,
    StoreFailed,
    Unreachable,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import blaming

PEER = NodeId(b"p" * 32)


class Notes:
    """Who was blamed."""

    def __init__(self) -> None:
        self.blamed: list[NodeId] = []

    def blame(self, peer: NodeId) -> None:
        self.blamed.append(peer)


@pytest.mark.parametrize("fault", [MalformedRecord, BadSignature, BrokenProtocol])
def test_what_is_objectively_invalid_counts_and_goes_on(fault: type[GridError]) -> None:
    notes = Notes()
    with pytest.raises(fault), blaming(notes, PEER):
        raise fault("it is")

    assert notes.blamed == [PEER]


@pytest.mark.parametrize("other", [Refused, Unreachable, StoreFailed, KeyError])
def test_nothing_else_counts(other: type[Exception]) -> None:
    notes = Notes()
    with pytest.raises(other), blaming(notes, PEER):
        raise other("it is not")

    assert notes.blamed == []
