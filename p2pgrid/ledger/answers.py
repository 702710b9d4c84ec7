"""A full node's answers to light peers: what it holds, with proofs where there are any."""

from bisect import bisect_right

from p2pgrid.errors import NotFound
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.epoch_messages import (
    BatchesQuery,
    BatchesReport,
    CutQuery,
    CutReport,
    EpochsQuery,
    EpochsReport,
)
from p2pgrid.ledger.messages import (
    AccountQuery,
    AccountReport,
    ById,
    ByTerms,
    EscrowQuery,
    EscrowReport,
    EvidenceQuery,
    EvidenceReport,
    HistoryQuery,
    HistoryReport,
    StatusQuery,
    StatusReport,
    history_row,
)
from p2pgrid.ledger.state import Escrow
from p2pgrid.ledger.views import history_of
from p2pgrid.limits.epochs import (
    BATCH_ANSWER_BYTES_MAX,
    CUT_IDS_PER_ANSWER,
    EPOCHS_PER_ANSWER,
)
from p2pgrid.limits.ledger import ALARMS_SHOWN_MAX, EVIDENCE_PER_ANSWER
from p2pgrid.model.certificate import CertifiedBatch, CertifiedOperation
from p2pgrid.model.ids import NodeId, RecordId
from p2pgrid.wire.codec import decode, encode


def _proof(archive: Archive, operation: RecordId) -> CertifiedOperation:
    proof = archive.proof(operation)
    if proof is None:
        raise NotFound("this node has no proof of that operation any more; ask another")
    return proof


def answer_submitted(archive: Archive, operation: RecordId) -> bytes:
    """The proof that an operation is certified. Raises NotFound."""
    return encode(_proof(archive, operation))


def answer_account(archive: Archive, body: bytes) -> bytes:
    """How one account stands. Raises PeerError, NotFound."""
    identity = decode(AccountQuery, body).account
    account, culprit = archive.state.account(identity), NodeId(identity)
    return encode(
        AccountReport(
            received=account.received,
            spent=account.spent,
            sequence=account.sequence,
            head=_proof(archive, account.head) if account.sequence else None,
            conviction=archive.convicted[culprit] if culprit in archive.frozen else None,
        )
    )


def _find(archive: Archive, which: ById | ByTerms) -> Escrow | None:
    match which:
        case ById(escrow=escrow):
            return archive.state.escrow(escrow)
        case ByTerms(consumer=consumer, terms_hash=terms_hash):
            return archive.state.find_escrow(consumer, terms_hash)


def answer_escrow(archive: Archive, body: bytes) -> bytes:
    """What is certified about one escrow. Raises PeerError, NotFound."""
    escrow = _find(archive, decode(EscrowQuery, body).which)
    if escrow is None:
        return encode(EscrowReport(opening=None, cancel=None, closing=None))
    cancel, closing = archive.state.endings(escrow.id)
    return encode(
        EscrowReport(
            opening=_proof(archive, escrow.id),
            cancel=None if cancel is None else _proof(archive, cancel),
            closing=None if closing is None else _proof(archive, closing),
        )
    )


def answer_history(archive: Archive, body: bytes) -> bytes:
    """What happened to one account. Raises PeerError."""
    query = decode(HistoryQuery, body)
    entries = history_of(archive.state, query.account)[: query.limit]
    return encode(HistoryReport(rows=tuple(history_row(entry) for entry in entries)))


def answer_evidence(archive: Archive, body: bytes) -> bytes:
    """Who was caught, page by page. Raises PeerError."""
    after = decode(EvidenceQuery, body).after
    culprits = sorted(culprit for culprit in archive.convicted if culprit > after)
    page = culprits[:EVIDENCE_PER_ANSWER]
    return encode(
        EvidenceReport(
            evidence=tuple(archive.convicted[culprit] for culprit in page),
            is_last=len(page) == len(culprits),
        )
    )


def answer_epochs(archive: Archive, body: bytes) -> bytes:
    """How epochs ended. Raises PeerError."""
    first = decode(EpochsQuery, body).first
    certificates = archive.epochs.chain.certificates[first : first + EPOCHS_PER_ANSWER]
    return encode(EpochsReport(certificates=certificates))


def answer_cut(archive: Archive, body: bytes) -> bytes:
    """The operations of a set, page by page. Raises PeerError, NotFound."""
    query = decode(CutQuery, body)
    if query.epoch > archive.epochs.chain.epoch:
        raise NotFound("this node knows of no such epoch")
    cut = archive.epochs.operations_of(query.epoch).known(query.root)
    if cut is None:
        raise NotFound("this node knows no such set of operations")
    after = bisect_right(cut.ordered, query.after)
    page = cut.ordered[after : after + CUT_IDS_PER_ANSWER]
    is_last = after + len(page) == len(cut.ordered)
    return encode(CutReport(operations=page, is_last=is_last))


def answer_batches(archive: Archive, body: bytes) -> bytes:
    """Batches that hold some operations, as many as fit. Raises PeerError."""
    query = decode(BatchesQuery, body)
    found: dict[bytes, CertifiedBatch] = {}
    room_bytes = BATCH_ANSWER_BYTES_MAX
    for operation in query.operations:
        batch = archive.batch_with(operation)
        if batch is None or batch.certificate.epoch != query.epoch:
            continue
        if batch.certificate.root not in found:
            room_bytes -= len(encode(batch))
            if room_bytes < 0 and found:
                break
            found[batch.certificate.root] = batch
    return encode(BatchesReport(batches=tuple(found.values())))


def answer_status(archive: Archive, body: bytes) -> bytes:
    """How the ledger stands here. Raises PeerError."""
    decode(StatusQuery, body)
    state = archive.state
    return encode(
        StatusReport(
            operations=state.operation_count,
            waiting=state.waiting_count,
            batches=archive.batch_count,
            in_escrow=state.locked,
            burnt=state.burnt,
            alarms=tuple(
                (alarm.slot, alarm.operations) for alarm in state.alarms[:ALARMS_SHOWN_MAX]
            ),
        )
    )
