"""Puts payment proofs together: from what a full node holds, or by asking full peers."""

from collections.abc import Sequence

from p2pgrid.errors import GridError, NotFound
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.certificate import prove, set_of, verify_batch
from p2pgrid.ledger.epoch_fetching import ask, fetch_cut
from p2pgrid.ledger.epoch_following import EpochFollowing
from p2pgrid.ledger.epoch_messages import BatchesQuery, BatchesReport
from p2pgrid.ledger.payment_proof import PaymentProof
from p2pgrid.limits.epochs import PROOF_EPOCHS_TRIED, PROOF_OPERATIONS_MAX
from p2pgrid.model.certificate import CertifiedOperation
from p2pgrid.model.ids import NetworkId, NodeId, RecordId, short
from p2pgrid.net.network import Method, Network, blaming


def proof_here(archive: Archive, operation: RecordId) -> PaymentProof:
    """The proof of an operation that this node holds. Raises NotFound."""
    certified = archive.proof(operation)
    if certified is None:
        raise NotFound(f"no certified operation {short(operation)} is known here")
    epoch = certified.certificate.epoch
    chain = archive.epochs.chain
    end = chain.end_of(epoch)
    cut = None
    if end is not None:
        cut = archive.epochs.operations_of(epoch).known(end.proposal.operations_root)
    return PaymentProof(
        network=archive.network,
        certified=certified,
        ends=chain.certificates[: epoch + 1],
        operations=None if cut is None else _listed(cut.ordered),
    )


async def gather_proof(
    network: Network,
    network_id: NetworkId,
    epochs: EpochFollowing,
    peers: Sequence[NodeId],
    operation: RecordId,
) -> PaymentProof:
    """The proof of an operation of the last epochs, from the first peer that has one.

    Raises:
        NotFound: none of them has it.
    """
    reasons: list[str] = []
    for peer in peers:
        try:
            await _follow(epochs, peer)
            certified = await _find(network, network_id, epochs, peer, operation)
            if certified is None:
                continue
            epoch = certified.certificate.epoch
            end = epochs.chain.end_of(epoch)
            listed = None
            if end is not None and end.proposal.operation_count <= PROOF_OPERATIONS_MAX:
                root = end.proposal.operations_root
                listed = (await fetch_cut(network, peer, epoch, root)).ordered
        except GridError as error:
            reasons.append(f"{short(peer)}: {error!s:.100}")
        else:
            ends = epochs.chain.certificates[: epoch + 1]
            return PaymentProof(
                network=network_id, certified=certified, ends=ends, operations=listed
            )
    why = f" ({'; '.join(reasons)})" if reasons else ""
    raise NotFound(
        f"no peer has a certificate of operation {short(operation)} from the last "
        f"{PROOF_EPOCHS_TRIED} epochs{why}; a full node proves older ones"
    )


async def _follow(epochs: EpochFollowing, peer: NodeId) -> None:
    """Know every epoch that a peer knows. Raises GridError."""
    before = -1
    while epochs.chain.epoch != before:
        before = epochs.chain.epoch
        await epochs.ask(peer)


async def _find(
    network: Network,
    network_id: NetworkId,
    epochs: EpochFollowing,
    peer: NodeId,
    operation: RecordId,
) -> CertifiedOperation | None:
    """What one peer can show, the newest epochs first. Raises GridError."""
    newest = epochs.chain.epoch
    for epoch in range(newest, max(-1, newest - PROOF_EPOCHS_TRIED), -1):
        query = BatchesQuery(epoch=epoch, operations=(operation,))
        report = await ask(network, peer, Method.LEDGER_BATCHES, query, BatchesReport)
        for batch in report.batches:
            with blaming(network, peer):
                witnesses = set_of(epoch, epochs.witness_sets)
                verified = verify_batch(batch, witnesses, network_id)
            if any(identity == operation for identity, _ in verified.operations):
                return prove(verified, operation)
    return None


def _listed(operations: tuple[RecordId, ...]) -> tuple[RecordId, ...] | None:
    return operations if len(operations) <= PROOF_OPERATIONS_MAX else None
