"""Proofs that authors lie, for those who were not there when they were told.

Proofs are gossiped once and are no part of the sets that pulls make equal: of one register any
proof will do. Whoever asks names the registers of which it has one, by short hashes.
"""

from collections.abc import Iterator
from hashlib import blake2b

from p2pgrid.crdt.register import RegisterKey
from p2pgrid.explorer.contradictions import Contradictions
from p2pgrid.explorer.records import envelope_of, key_parts
from p2pgrid.limits.explorer import FARM_MEMBERS_BYTES_MAX, PROOF_HASH_BYTES


def known_of(proofs: Contradictions) -> bytes:
    """The registers of which there is a proof, one short hash after the other."""
    return b"".join(map(_hash_of, proofs))


def unknown_to(proofs: Contradictions, known: bytes) -> Iterator[bytes]:
    """Envelopes of the proofs about registers that are not among `known`, the oldest first."""
    starts = range(0, len(known), PROOF_HASH_BYTES)
    hashes = {known[start : start + PROOF_HASH_BYTES] for start in starts}
    for key, proof in proofs.items():
        if _hash_of(key) not in hashes:
            envelope = envelope_of(proof)
            if len(envelope) <= FARM_MEMBERS_BYTES_MAX:  # longer ones are no records to anybody
                yield envelope


def _hash_of(key: RegisterKey) -> bytes:
    return blake2b(b"".join(key_parts(key)), digest_size=PROOF_HASH_BYTES).digest()
