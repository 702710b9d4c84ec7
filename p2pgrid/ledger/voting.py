"""What a witness answers once its votes are durable: refusals, its signature, what is certified.

Pure: who calls this has judged the request, and has the votes on disk.
"""

from collections.abc import Iterable, Sequence

from nacl.signing import SigningKey

from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.certificate import WitnessSet, vote_for, vote_message
from p2pgrid.ledger.witness import Candidate, Judgement
from p2pgrid.limits.ledger import CERTIFIED_PER_ANSWER
from p2pgrid.model.certificate import CertifiedBatch, Reason, Refusal, VoteAnswer
from p2pgrid.wire.signed import sign_message


def answer_of(
    archive: Archive,
    candidates: Sequence[Candidate],
    judged: Judgement,
    witnesses: WitnessSet,
    key: SigningKey,
) -> VoteAnswer:
    """The answer to a request.

    Args:
        archive: what is certified here.
        candidates: all that was asked, in its order.
        judged: what the witness made of them; its changes are durable.
        witnesses: who votes in the epoch that it was judged in.
        key: the witness's in that epoch.
    """
    signature = None
    if judged.accepted:
        accepted = frozenset(judged.accepted)
        envelopes = [one.signed.envelope for one in candidates if one.signed.id in accepted]
        vote = vote_for(envelopes, witnesses)
        signature = sign_message(vote_message(vote, archive.network), key)
    return VoteAnswer(
        refusals=judged.refusals,
        signature=signature,
        certified=_certified(archive, judged.refusals),
    )


def _certified(archive: Archive, refusals: Iterable[Refusal]) -> tuple[CertifiedBatch, ...]:
    """Some batches of what the asker does not know to be certified."""
    found: dict[bytes, CertifiedBatch] = {}
    for refusal in refusals:
        if refusal.reason is Reason.CERTIFIED and len(found) < CERTIFIED_PER_ANSWER:
            batch = archive.batch_with(refusal.operation)
            if batch is not None:
                found[batch.certificate.root] = batch
    return tuple(found.values())
