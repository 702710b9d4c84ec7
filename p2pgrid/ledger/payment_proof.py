"""A file that proves one operation to somebody who holds the genesis record and nothing else.

    the operation, its place in a batch, the batch's certificate
    the end of every epoch up to that of the certificate: who its witnesses were
    the operations of its epoch, once that has ended: whether the operation stays for good

Pure: reading and checking one needs no node, no network and no clock.
"""

from dataclasses import dataclass
from hashlib import blake2b

from p2pgrid.errors import BadInput, InvalidRecord, MalformedRecord, PeerError
from p2pgrid.ledger.certificate import set_of, verify_proof
from p2pgrid.ledger.epoch_chain import EpochChain
from p2pgrid.ledger.epoch_operations import cut_of
from p2pgrid.limits.epochs import PROOF_BYTES_MAX, PROOF_EPOCHS_MAX, PROOF_OPERATIONS_MAX
from p2pgrid.model.certificate import CertifiedOperation
from p2pgrid.model.epoch import EpochCertificate
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import NETWORK_ID_BYTES, NetworkId, RecordId, require_ids, short
from p2pgrid.model.operation import Operation
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import verify

_MAGIC = b"p2pgrid payment proof 1\n"
_CHECKSUM_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentProof:
    """What the file holds."""

    network: NetworkId
    """The grid."""
    certified: CertifiedOperation
    ends: tuple[EpochCertificate, ...]
    """Of the epochs from 0 on, up to that of the certificate if it has ended."""
    operations: tuple[RecordId, ...] | None
    """All that the epoch of the certificate ended with, sorted.

    None: it goes on, or had too many."""

    def __post_init__(self) -> None:
        require_ids(*(self.operations or ()))
        if len(self.network) != NETWORK_ID_BYTES:
            raise InvalidRecord(f"the id of a grid has {NETWORK_ID_BYTES} bytes")
        if len(self.ends) > PROOF_EPOCHS_MAX:
            raise InvalidRecord(f"a proof goes over at most {PROOF_EPOCHS_MAX} epochs")
        if self.operations is not None and len(self.operations) > PROOF_OPERATIONS_MAX:
            raise InvalidRecord(f"a proof lists at most {PROOF_OPERATIONS_MAX} operations")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenOperation:
    """What a proof proves."""

    id: RecordId
    operation: Operation
    epoch: int
    """In which it was certified."""
    weight_signed: int
    """Of the witnesses that signed."""
    weight_total: int
    is_final: bool
    """Whether its epoch ended with it; else it is certified, and its epoch could in theory end
    without it, if a third of the witnesses cheat."""


def write_proof(proof: PaymentProof) -> bytes:
    """The bytes of the file."""
    content = _MAGIC + encode(proof)
    return content + _checksum(content)


def read_proof(data: bytes) -> PaymentProof:
    """What `write_proof` wrote. Raises BadInput for anything else."""
    if not data.startswith(_MAGIC):
        raise BadInput("this is no payment proof of this version of p2pgrid")
    content, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if len(data) > PROOF_BYTES_MAX or _checksum(content) != checksum:
        raise BadInput("the payment proof is damaged; have it sent again")
    try:
        return decode(PaymentProof, content[len(_MAGIC) :], bytes_max=PROOF_BYTES_MAX)
    except MalformedRecord as error:
        raise BadInput(f"this is no payment proof: {error}") from error


def check_proof(proof: PaymentProof, genesis: Genesis) -> ProvenOperation:
    """Check every signature and hash in a proof, from the genesis on.

    Raises:
        BadInput: it is of another grid, or proves nothing; says which step fails.
    """
    if proof.network != genesis.network:
        raise BadInput(
            f"the proof is of grid {short(proof.network)}, the genesis file of "
            f"{genesis.name!r} ({short(genesis.network)})"
        )
    certificate = proof.certified.certificate
    try:
        chain = EpochChain(genesis)
        for end in proof.ends:
            chain.append(end)
        witnesses = set_of(certificate.epoch, chain.witness_sets)
        identity, operation = verify_proof(proof.certified, witnesses, genesis.network)
        verify(Operation, proof.certified.operation, genesis.network)
    except PeerError as error:
        raise BadInput(f"the proof does not hold: {error}") from error
    signed = sum(witnesses.members[place][1] for place in certificate.signer_indexes)
    return ProvenOperation(
        id=identity,
        operation=operation,
        epoch=certificate.epoch,
        weight_signed=signed,
        weight_total=witnesses.total,
        is_final=_is_final(proof, identity, chain),
    )


def _is_final(proof: PaymentProof, identity: RecordId, chain: EpochChain) -> bool:
    """Whether the end of its epoch holds the operation. Raises BadInput: it ended without."""
    end = chain.end_of(proof.certified.certificate.epoch)
    if end is None or proof.operations is None:
        return False
    cut = cut_of(proof.operations)
    if cut.root != end.proposal.operations_root:
        raise BadInput("the proof does not hold: its list of operations is not the epoch's")
    if identity not in cut.operations:
        raise BadInput("the epoch ended without this operation: its certificate is void")
    return True


def _checksum(content: bytes) -> bytes:
    return blake2b(content, digest_size=_CHECKSUM_BYTES).digest()
