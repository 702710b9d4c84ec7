"""Certificates: who may vote, how much is enough, and whether it is there.

    N = sum of weights      f = ceil(N/3)      quorum q = ceil((N + f) / 2)

Two quorums share at least 2q-N of weight, so while less than that is faulty
an honest witness sits in both, and votes only once. Everything here is
computed from the witness set; nothing is read from a message.

The Merkle tree is that of RFC 6962: leaves and nodes are hashed apart, and the
last of an odd row moves up as it is, so no two lists of leaves share a root. A
leaf is a whole envelope, signature included: with the ids alone, anybody could
spoil the signatures of a certified batch, and a double spend whose first half
rests in it could not be proven any more.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

from p2pgrid.errors import BadSignature, BrokenProtocol, MalformedRecord
from p2pgrid.model.certificate import Certificate, CertifiedBatch, CertifiedOperation, Vote
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import ID_BYTES, NetworkId, NodeId, RecordId
from p2pgrid.model.operation import Operation
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import is_signed_by, message_of, open_envelope, record_id

_LEAF = b"p2pgrid.leaf"
_NODE = b"p2pgrid.node"
_SET = b"p2pgrid.set"
_BATCH = b"p2pgrid.batch"


@dataclass(frozen=True, slots=True)
class _FirstSet:
    """What the hash of a set covers whose witnesses sign with the keys of their nodes."""

    epoch: int
    members: tuple[tuple[NodeId, int], ...]


@dataclass(frozen=True)
class WitnessSet:
    """Who votes in one epoch, with which weight; sorted by node."""

    epoch: int
    members: tuple[tuple[NodeId, int], ...]
    keys: tuple[bytes, ...] = ()
    """What each signs with, in the order of `members`; in epoch 0 the key of its node."""

    @cached_property
    def signing_keys(self) -> dict[NodeId, bytes]:
        """What each witness signs with."""
        nodes = tuple(node for node, _ in self.members)
        return dict(zip(nodes, self.keys or nodes, strict=True))

    @cached_property
    def nodes(self) -> dict[bytes, NodeId]:
        """The witness that signs with a key."""
        return {key: node for node, key in self.signing_keys.items()}

    @cached_property
    def weights(self) -> dict[bytes, int]:
        """The weight of each."""
        return dict(self.members)

    @property
    def total(self) -> int:
        """The weight of all."""
        return sum(self.weights.values())

    @property
    def quorum(self) -> int:
        """The least weight that certifies."""
        return quorum_of(self.total)

    @cached_property
    def hash(self) -> bytes:
        """What votes name this set by, 32 bytes."""
        named = self if self.keys else _FirstSet(self.epoch, self.members)
        return blake2b(encode(named), digest_size=ID_BYTES, person=_SET).digest()

    def weight_of(self, witness: bytes) -> int:
        """Its weight, 0 for who is no witness."""
        return self.weights.get(witness, 0)

    def key_at(self, place: int) -> bytes:
        """What the witness at one place signs with."""
        return self.signing_keys[self.members[place][0]]


def quorum_of(total: int) -> int:
    """The least weight that certifies, of `total`.

    >>> [quorum_of(total) for total in (1, 2, 3, 4, 7, 128)]
    [1, 2, 2, 3, 5, 86]
    """
    faulty = -(-total // 3)
    return -(-(total + faulty) // 2)


def first_witnesses(genesis: Genesis) -> WitnessSet:
    """The witness set of epoch 0."""
    return WitnessSet(0, genesis.witnesses)


def set_of(epoch: int, witness_sets: Sequence[WitnessSet]) -> WitnessSet:
    """The witness set of one epoch. Raises BrokenProtocol: no such epoch has begun."""
    if epoch >= len(witness_sets):
        raise BrokenProtocol(f"epoch {epoch} has not begun")
    return witness_sets[epoch]


# --- Merkle tree ----------------------------------------------------------------------------------


def _leaf(envelope: bytes) -> bytes:
    return blake2b(envelope, digest_size=ID_BYTES, person=_LEAF).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return blake2b(left + right, digest_size=ID_BYTES, person=_NODE).digest()


def _parents(row: list[bytes]) -> list[bytes]:
    above = [_node(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)]
    return [*above, row[-1]] if len(row) % 2 else above


def merkle_root(envelopes: Sequence[bytes]) -> bytes:
    """The root over envelopes in their order, 32 bytes; at least one."""
    row = [_leaf(envelope) for envelope in envelopes]
    while len(row) > 1:
        row = _parents(row)
    return row[0]


def merkle_path(envelopes: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The siblings from leaf `index` up to the root."""
    row, path = [_leaf(envelope) for envelope in envelopes], []
    while len(row) > 1:
        if index ^ 1 < len(row):
            path.append(row[index ^ 1])
        row, index = _parents(row), index // 2
    return tuple(path)


def root_of_path(envelope: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes:
    """The root that a path leads to. Raises MalformedRecord when its length is wrong."""
    digest, siblings = _leaf(envelope), list(path)
    while count > 1:
        if index ^ 1 < count:
            if not siblings:
                raise MalformedRecord("the Merkle path is too short")
            sibling = siblings.pop(0)
            digest = _node(sibling, digest) if index % 2 else _node(digest, sibling)
        index, count = index // 2, (count + 1) // 2
    if siblings:
        raise MalformedRecord("the Merkle path is too long")
    return digest


# --- certificates ---------------------------------------------------------------------------------


def vote_message(vote: Vote, network: NetworkId) -> bytes:
    """The 64 bytes that a witness signs."""
    return message_of(RecordKind.VOTE, record_id(RecordKind.VOTE, encode(vote), network), network)


def vote_for(envelopes: Sequence[bytes], witnesses: WitnessSet) -> Vote:
    """The vote of this witness set for a batch of operations."""
    return Vote(epoch=witnesses.epoch, witness_set_hash=witnesses.hash, root=merkle_root(envelopes))


def assemble(
    vote: Vote, signatures: Mapping[NodeId, bytes], witnesses: WitnessSet
) -> Certificate | None:
    """A certificate from signatures that have been checked, or None below the quorum."""
    gathered = gather(signatures, witnesses)
    if gathered is None:
        return None
    signers, chosen = gathered
    return Certificate(
        epoch=vote.epoch,
        root=vote.root,
        witness_set_hash=vote.witness_set_hash,
        signers=signers,
        signatures=chosen,
    )


def gather(
    signatures: Mapping[NodeId, bytes], witnesses: WitnessSet
) -> tuple[bytes, tuple[bytes, ...]] | None:
    """(bitmap of the signers, their signatures in order), or None below the quorum."""
    chosen = [(place, key) for place, (key, _) in enumerate(witnesses.members) if key in signatures]
    if sum(witnesses.weight_of(key) for _, key in chosen) < witnesses.quorum:
        return None
    return bitmap(place for place, _ in chosen), tuple(signatures[key] for _, key in chosen)


def bitmap(indexes: Iterable[int]) -> bytes:
    """A set of small numbers, lowest bit first, no byte more than needed."""
    bits = sum(1 << index for index in indexes)
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def bits_of(signers: bytes) -> tuple[int, ...]:
    """The numbers in a bitmap, ascending."""
    return tuple(
        index for index in range(8 * len(signers)) if signers[index // 8] >> (index % 8) & 1
    )


def verify_certificate(certificate: Certificate, witnesses: WitnessSet, network: NetworkId) -> None:
    """Check that a quorum of `witnesses` signed. 65 µs a signature.

    Raises:
        BrokenProtocol: of another epoch or witness set, or below the quorum.
        BadSignature: a signature in it is not valid.
    """
    if certificate.epoch != witnesses.epoch or certificate.witness_set_hash != witnesses.hash:
        raise BrokenProtocol("the certificate is of another epoch or witness set")
    message = vote_message(certificate.vote, network)
    require_quorum(message, certificate.signers, certificate.signatures, witnesses)


def require_quorum(
    message: bytes, signers: bytes, signatures: Sequence[bytes], witnesses: WitnessSet
) -> None:
    """Check that witnesses with the weight of a quorum signed one message.

    Raises:
        BrokenProtocol: below the quorum, or not a set of signers of `witnesses`.
        BadSignature: a signature is not valid.
    """
    indexes = bits_of(signers)
    if signers != bitmap(indexes) or len(indexes) != len(signatures):
        raise BrokenProtocol("the certificate's signers and signatures do not match")
    if indexes and indexes[-1] >= len(witnesses.members):
        raise BrokenProtocol("the certificate names a witness that does not exist")
    if sum(witnesses.members[index][1] for index in indexes) < witnesses.quorum:
        raise BrokenProtocol(f"the certificate has less weight than {witnesses.quorum}")
    for index, signature in zip(indexes, signatures, strict=True):
        if not is_signed_by(witnesses.key_at(index), message, signature):
            raise BadSignature("the certificate holds a signature that is not its witness's")


def read_operation(envelope: bytes, network: NetworkId) -> tuple[RecordId, Operation]:
    """An operation that a certificate vouches for; its own signature is not checked.

    Raises MalformedRecord.
    """
    opened = open_envelope(envelope)
    if opened.kind is not RecordKind.OPERATION:
        raise MalformedRecord(f"expected OPERATION, got {opened.kind.name}")
    identity = record_id(opened.kind, opened.body, network)
    return identity, decode(Operation, opened.body)


def batch_id(certificate: Certificate) -> bytes:
    """What a certified batch is known by, 32 bytes.

    The root of its operations in epoch 0. Later the epoch goes in as well: the same
    operations may be certified in one epoch in vain, and in the next for good.
    """
    if certificate.epoch == 0:
        return certificate.root
    place = certificate.epoch.to_bytes(8, "big")
    return blake2b(place + certificate.root, digest_size=ID_BYTES, person=_BATCH).digest()


@dataclass(frozen=True, slots=True)
class Verified:
    """A certified batch whose certificate has been checked."""

    id: bytes
    """See `batch_id`."""
    operations: tuple[tuple[RecordId, Operation], ...]
    batch: CertifiedBatch


def verify_batch(batch: CertifiedBatch, witnesses: WitnessSet, network: NetworkId) -> Verified:
    """Check a certified batch that came from outside.

    The witnesses checked the operations' signatures and signed for the very
    bytes, so they are not checked again: 10 µs an operation instead of 90.

    Raises PeerError.
    """
    operations = tuple(read_operation(one, network) for one in batch.operations)
    root = merkle_root(batch.operations)
    if root != batch.certificate.root:
        raise BrokenProtocol("the certificate is of other operations")
    verify_certificate(batch.certificate, witnesses, network)
    return Verified(batch_id(batch.certificate), operations, batch)


def prove(verified: Verified, identity: RecordId) -> CertifiedOperation:
    """The proof that one operation of a batch is certified."""
    envelopes = verified.batch.operations
    index = [one for one, _ in verified.operations].index(identity)
    return CertifiedOperation(
        operation=envelopes[index],
        index=index,
        count=len(envelopes),
        path=merkle_path(envelopes, index),
        certificate=verified.batch.certificate,
    )


def verify_proof(
    proof: CertifiedOperation, witnesses: WitnessSet, network: NetworkId
) -> tuple[RecordId, Operation]:
    """Check what a full peer says of one operation. Raises PeerError."""
    identity, operation = read_operation(proof.operation, network)
    root = root_of_path(proof.operation, proof.index, proof.count, proof.path)
    if root != proof.certificate.root:
        raise BrokenProtocol("the Merkle path leads to another certificate")
    verify_certificate(proof.certificate, witnesses, network)
    return identity, operation
