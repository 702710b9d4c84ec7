"""How long we put up with peers that send what is objectively invalid, sans clock.

Only what no honest program ever sends counts: broken encoding, a wrong signature, another
network id, messages that break the protocol. Never what is late, old, too much or
too slow: an honest peer that forwards for others would pay for them. What counts
is forgiven with time, and not by hanging up and coming back.
"""

from enum import IntEnum

from p2pgrid.limits.net import (
    FAULTS_BURST,
    FAULTS_FORGIVEN_PER_SECOND,
    FAULTY_PEERS_MAX,
    SHUN_SECONDS,
    SHUNNED_PEERS_MAX,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.pace import TokenBucket


class Fault(IntEnum):
    """What a peer did, and how much it weighs of FAULTS_BURST."""

    GOSSIP = 1
    """Forwarded an invalid message. It should have looked; but it did not make it, maybe."""
    ANSWER = 4
    """Gave an answer that is garbage, or holds a record that nobody signed."""
    PROTOCOL = 8
    """Broke the rules of a stream, or greeted with another network id. Its connection is over."""


class Standing:
    """Blame, and who is refused for it."""

    def __init__(self) -> None:
        self._patience: dict[NodeId, TokenBucket] = {}
        self._shunned_until: dict[NodeId, float] = {}

    def blame(self, peer: NodeId, fault: Fault, now: float) -> bool:
        """Count a fault; whether that was one too many: `peer` is shunned then."""
        patience = self._patience.pop(peer, None) or TokenBucket(
            per_second=FAULTS_FORGIVEN_PER_SECOND, burst=FAULTS_BURST, now=now
        )
        self._patience[peer] = patience
        if len(self._patience) > FAULTY_PEERS_MAX:
            del self._patience[next(iter(self._patience))]
        if patience.take(now, fault):
            return False
        self._shunned_until.pop(peer, None)
        self._shunned_until[peer] = now + SHUN_SECONDS
        if len(self._shunned_until) > SHUNNED_PEERS_MAX:
            del self._shunned_until[next(iter(self._shunned_until))]
        return True

    def is_shunned(self, peer: NodeId, now: float) -> bool:
        """Whether we hung up on `peer` lately for its faults."""
        return self._shunned_until.get(peer, 0.0) > now

    def faults(self, peer: NodeId, now: float) -> float:
        """The weight of what it did and is not forgiven yet, for people to see."""
        patience = self._patience.get(peer)
        return 0.0 if patience is None else FAULTS_BURST - patience.tokens(now)
