"""What must hold of the end of an epoch, whoever proposes it.

Everything in a proposal follows from what came before, from the reports that it names,
and from the set of operations; a leader chooses which reports and operations, and no more.

The beacon is hashed from what witnesses reveal, and each committed itself to that one epoch
before: a witness can withhold its part, which is one bit, and can choose nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from p2pgrid.errors import BrokenProtocol, InvalidRecord
from p2pgrid.ledger.certificate import WitnessSet, bits_of, require_quorum
from p2pgrid.ledger.epoch_schedule import Schedule
from p2pgrid.model.epoch import (
    NO_COMMITMENT,
    EpochCertificate,
    EpochLock,
    EpochPhase,
    EpochProposal,
    EpochQuorum,
    EpochReport,
    EpochVote,
    Seat,
)
from p2pgrid.model.ids import ID_BYTES, NetworkId, NodeId, RecordId
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import (
    Signed,
    is_usable_key,
    message_of,
    open_envelope,
    record_id,
    verify,
)

_COMMITMENT = b"p2pgrid.commit"
_BEACON = b"p2pgrid.beacon"


@dataclass(frozen=True, slots=True)
class Frame:
    """One epoch as all who know its predecessors see it."""

    network: NetworkId
    seats: tuple[Seat, ...]
    """Its witnesses."""
    witnesses: WitnessSet
    """The same, as votes need them."""
    previous: RecordId
    beacon: bytes
    """Of the end of the epoch before."""
    schedule: Schedule

    @property
    def epoch(self) -> int:
        """Its number."""
        return self.witnesses.epoch

    def seat_of(self, node: NodeId) -> Seat | None:
        """The seat of a witness, or None of anybody else."""
        return next((seat for seat in self.seats if seat.node == node), None)


def witness_set(epoch: int, seats: Sequence[Seat]) -> WitnessSet:
    """The witness set of an epoch after the first."""
    members = tuple((seat.node, seat.weight) for seat in seats)
    return WitnessSet(epoch, members, tuple(seat.key for seat in seats))


def commitment_to(secret: bytes) -> bytes:
    """What a witness gives away of its secret before it reveals it."""
    return blake2b(secret, digest_size=ID_BYTES, person=_COMMITMENT).digest()


def beacon_after(previous: bytes, reports: Sequence[EpochReport]) -> bytes:
    """The beacon, of valid reports in order of their nodes."""
    digest = blake2b(previous, digest_size=ID_BYTES, person=_BEACON)
    for report in reports:
        if report.reveal:
            digest.update(report.node + report.reveal)
    return digest.digest()


def seats_after(seats: Sequence[Seat], reports: Sequence[EpochReport]) -> tuple[Seat, ...]:
    """The witnesses of the next epoch: those of this one, with their new keys.

    Who did not report keeps its key: it was away, and may have no other when it comes back.
    """
    reported = {report.node: report for report in reports}
    following: list[Seat] = []
    for seat in seats:
        report = reported.get(seat.node)
        key = seat.key if report is None else report.next_key
        commitment = NO_COMMITMENT if report is None else report.commitment
        following.append(Seat(node=seat.node, key=key, weight=seat.weight, commitment=commitment))
    return tuple(following)


def read_report(envelope: bytes, frame: Frame) -> Signed[EpochReport]:
    """Check a report that a witness sent.

    Raises:
        PeerError: it is not one that an honest witness of this epoch signs.
    """
    claimed = decode(EpochReport, open_envelope(envelope).body).node
    seat = frame.seat_of(claimed)
    if seat is None:
        raise BrokenProtocol("a report is of no witness of this epoch")
    signed = verify(EpochReport, envelope, frame.network, current_key=seat.key)
    report = signed.record
    if report.epoch != frame.epoch:
        raise BrokenProtocol("a report is of another epoch")
    if report.reveal:
        if commitment_to(report.reveal) != seat.commitment:
            raise BrokenProtocol("a witness reveals what it did not commit itself to")
    elif seat.commitment != NO_COMMITMENT:
        raise BrokenProtocol("a witness does not reveal what it committed itself to")
    if not is_usable_key(report.next_key):
        raise BrokenProtocol("a witness wants a seat for what is no key")
    return signed


def propose(
    frame: Frame,
    reports: Sequence[EpochReport],
    operations: tuple[bytes, int],
    snapshot_root: bytes,
    time_ms: TimestampMs,
) -> EpochProposal:
    """The end of an epoch that follows from these.

    Args:
        frame: the epoch.
        reports: checked, of different witnesses.
        operations: root of their set, and how many.
        snapshot_root: of the state after them.
        time_ms: when the next epoch starts.
    """
    ordered = sorted(reports, key=lambda report: report.node)
    root, count = operations
    return EpochProposal(
        epoch=frame.epoch,
        previous=frame.previous,
        witness_set_hash=frame.witnesses.hash,
        operations_root=root,
        operation_count=count,
        snapshot_root=snapshot_root,
        beacon=beacon_after(frame.beacon, ordered),
        seats=seats_after(frame.seats, ordered),
        time_ms=time_ms,
    )


def require_proposal(proposal: EpochProposal, frame: Frame, reports: Sequence[bytes]) -> None:
    """Check everything in a proposal but its operations, which only the ledger knows.

    Raises:
        PeerError: it does not follow from the reports.
    """
    opened = [read_report(envelope, frame).record for envelope in reports]
    nodes = [report.node for report in opened]
    if nodes != sorted(set(nodes)):
        raise BrokenProtocol("reports are sorted, one of each witness")
    operations = proposal.operations_root, proposal.operation_count
    try:
        wanted = propose(frame, opened, operations, proposal.snapshot_root, proposal.time_ms)
    except InvalidRecord as error:
        raise BrokenProtocol(f"the next witness set cannot be: {error}") from error
    if wanted != proposal:
        raise BrokenProtocol("a proposal is not what follows from its reports")


# --- votes ----------------------------------------------------------------------------------------


def proposal_id(proposal: EpochProposal, network: NetworkId) -> RecordId:
    """What a proposal is known by."""
    return record_id(RecordKind.EPOCH_PROPOSAL, encode(proposal), network)


def epoch_vote(frame: Frame, view: int, phase: EpochPhase, proposal: RecordId) -> EpochVote:
    """One vote of this epoch's witnesses."""
    return EpochVote(
        epoch=frame.epoch,
        witness_set_hash=frame.witnesses.hash,
        view=view,
        phase=phase,
        proposal=proposal,
    )


def epoch_vote_message(vote: EpochVote, network: NetworkId) -> bytes:
    """The 64 bytes that a witness signs."""
    kind = RecordKind.EPOCH_VOTE
    return message_of(kind, record_id(kind, encode(vote), network), network)


def epoch_quorum(vote: EpochVote, gathered: tuple[bytes, tuple[bytes, ...]]) -> EpochQuorum:
    """A vote with what `certificate.gather` gave."""
    signers, signatures = gathered
    return EpochQuorum(vote=vote, signers=signers, signatures=signatures)


def require_lock(lock: EpochLock, frame: Frame) -> RecordId:
    """Check that a quorum prepared a proposal; gives its id. Raises PeerError."""
    return _require(lock.proposal, lock.quorum, EpochPhase.PREPARE, frame)


def require_epoch_certificate(certificate: EpochCertificate, frame: Frame) -> RecordId:
    """Check that a quorum committed the end of this epoch; gives its id. Raises PeerError."""
    return _require(certificate.proposal, certificate.quorum, EpochPhase.COMMIT, frame)


def _require(
    proposal: EpochProposal, quorum: EpochQuorum, phase: EpochPhase, frame: Frame
) -> RecordId:
    identity = proposal_id(proposal, frame.network)
    if quorum.vote != epoch_vote(frame, quorum.vote.view, phase, identity):
        raise BrokenProtocol("a quorum of an epoch voted for something else")
    message = epoch_vote_message(quorum.vote, frame.network)
    require_quorum(message, quorum.signers, quorum.signatures, frame.witnesses)
    return identity


def signers_of(quorum: EpochQuorum, witnesses: WitnessSet) -> tuple[NodeId, ...]:
    """Who signed."""
    return tuple(witnesses.members[place][0] for place in bits_of(quorum.signers))
