"""How the explorer of a full peer is doing: what it holds, how fresh that is, and from whom."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice

from p2pgrid.explorer.view import View
from p2pgrid.limits.explorer import LIARS_TOLD_MAX
from p2pgrid.model.ids import NodeId
from p2pgrid.units import TimestampMs
from p2pgrid.wire.kinds import RecordKind


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One connected peer."""

    peer: NodeId
    reconciled_age_ms: int | None
    """Since a comparison with it went through to the end; None: not yet."""
    is_node: bool
    """Whether it announced itself; light peers never do, and are never compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplorerStatus:
    """What a full peer can say of its view."""

    root: bytes
    """Digest of the set of records: equal on two peers if and only if their sets are."""
    records: int
    by_kind: Mapping[RecordKind, int]
    contradictions: int
    """Registers whose author was caught saying two things at once."""
    liars: tuple[bytes, ...]
    """Their authors, in the order in which they were found out."""
    memory_bytes: int
    """About what the records take."""
    heard_age_ms: int | None
    """Since others last told something new; None: nothing since the start."""
    peers: tuple[PeerStatus, ...]


def status_of(
    view: View,
    peers: Iterable[NodeId],
    *,
    pulled_ms: Mapping[NodeId, TimestampMs],
    heard_ms: TimestampMs | None,
    now_ms: TimestampMs,
) -> ExplorerStatus:
    """Put together what there is to say.

    Args:
        view: all that is known.
        peers: those connected now.
        pulled_ms: when each was last compared with; a peer may be missing.
        heard_ms: when something new was last heard.
        now_ms: the present.
    """
    return ExplorerStatus(
        root=view.ids.root(),
        records=len(view),
        by_kind={kind: count for kind, count in view.counts().items() if count},
        contradictions=len(view.contradictions),
        liars=tuple(islice(view.contradictions.authors(), LIARS_TOLD_MAX)),
        memory_bytes=view.memory_bytes,
        heard_age_ms=_age_ms(heard_ms, now_ms),
        peers=tuple(
            PeerStatus(
                peer,
                _age_ms(pulled_ms.get(peer), now_ms),
                is_node=view.node(peer, now_ms=now_ms) is not None,
            )
            for peer in peers
        ),
    )


def _age_ms(then_ms: TimestampMs | None, now_ms: TimestampMs) -> int | None:
    """Clocks are set back at times; nothing is younger than now."""
    return None if then_ms is None else max(0, now_ms - then_ms)
