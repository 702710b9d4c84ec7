"""How long we put up with peers that send invalid gossip, sans clock."""

from p2pgrid.limits.net import (
    REJECTS_BURST,
    REJECTS_FORGIVEN_PER_SECOND,
    SHUN_SECONDS,
    SHUNNED_PEERS_MAX,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.pace import TokenBucket


class Standing:
    """Blame for what is objectively invalid, and who is refused for it."""

    def __init__(self) -> None:
        self._patience: dict[NodeId, TokenBucket] = {}
        self._shunned_until: dict[NodeId, float] = {}

    def blame(self, peer: NodeId, now: float) -> bool:
        """Count one invalid message; whether that was one too many: `peer` is shunned then."""
        if peer not in self._patience:
            self._patience[peer] = TokenBucket(
                per_second=REJECTS_FORGIVEN_PER_SECOND, burst=REJECTS_BURST, now=now
            )
        if self._patience[peer].take(now):
            return False
        self._shunned_until.pop(peer, None)
        self._shunned_until[peer] = now + SHUN_SECONDS
        if len(self._shunned_until) > SHUNNED_PEERS_MAX:
            del self._shunned_until[next(iter(self._shunned_until))]
        return True

    def is_shunned(self, peer: NodeId, now: float) -> bool:
        """Whether we hung up on `peer` lately."""
        return self._shunned_until.get(peer, 0.0) > now

    def forget(self, peer: NodeId) -> None:
        """It is gone; if it is shunned, it stays so."""
        self._patience.pop(peer, None)
