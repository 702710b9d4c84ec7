"""No byte of what is signed can be changed unseen, and another library reads the very same.

The other library is cbrrr: DAG-CBOR, in C, which refuses whatever is not canonical.
"""

from collections.abc import Callable, Iterator

import cbrrr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pgrid.errors import MalformedRecord, PeerError
from p2pgrid.ledger.certificate import (
    Verified,
    first_witnesses,
    prove,
    verify_batch,
    verify_proof,
)
from p2pgrid.ledger.evidence import convict_account, convict_witnesses, verify_evidence
from p2pgrid.ledger.messages import LedgerItem
from p2pgrid.model.certificate import (
    CertifiedBatch,
    CertifiedOperation,
    Equivocation,
    TwoOperations,
    VoteAnswer,
    VoteRequest,
)
from p2pgrid.model.ids import RecordId
from p2pgrid.model.operation import (
    CancelEscrow,
    CloseEscrow,
    Operation,
    Payload,
    ReclaimEscrow,
    SettleEscrow,
)
from p2pgrid.units import Amount
from p2pgrid.wire.codec import decode, encode, kind_of, record_classes
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import open_envelope, record_id, verify
from tests.ledger.grids import Chain, certify, escrow_terms, genesis_of, pay
from tests.strategies import values

GENESIS = genesis_of(4)
NETWORK = GENESIS.network
WITNESSES = first_witnesses(GENESIS)
ESCROW = RecordId(b"e" * 32)

PAYLOADS: tuple[Payload, ...] = (
    pay("bob", 7),
    escrow_terms(),
    CancelEscrow(escrow=ESCROW),
    SettleEscrow(escrow=ESCROW, to_farm=Amount(300), evidence=bytes(32)),
    CloseEscrow(escrow=ESCROW, to_farm=Amount(300), other_signature=bytes(64)),
    ReclaimEscrow(escrow=ESCROW),
)
LEDGER_KINDS = [kind for kind in RecordKind if 30 <= kind < 50]
TRAVELLING = [record_classes()[kind] for kind in LEDGER_KINDS if kind in record_classes()]
TRAVELLING += [VoteRequest, VoteAnswer, LedgerItem]
BITS = tuple(1 << bit for bit in range(8))


def changes(data: bytes, differences: tuple[int, ...] = BITS) -> Iterator[bytes]:
    """`data` with one byte changed: each byte, by each of the differences."""
    for position in range(len(data)):
        for difference in differences:
            changed = bytearray(data)
            changed[position] ^= difference
            yield bytes(changed)


def batch_of(*amounts: int) -> Verified:
    mallory = Chain(GENESIS, "mallory")
    operations = [mallory.fork(pay("bob", amounts[0]))]
    operations += [Chain(GENESIS, "bob").fork(pay("carol", one)) for one in amounts[1:]]
    return verify_batch(certify(GENESIS, operations), WITNESSES, NETWORK)


def accepted(read: Callable[[bytes], object], data: bytes) -> list[bytes]:
    """The one-byte changes of `data` that `read` does not refuse."""
    read(data)
    found = []
    for changed in changes(data):
        try:
            read(changed)
        except PeerError:
            continue
        found.append(changed)
    return found


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda one: type(one).__name__)
def test_a_signed_operation_with_one_byte_changed_is_refused(payload: Payload) -> None:
    envelope = Chain(GENESIS, "alice").next(payload).envelope

    assert not accepted(lambda data: verify(Operation, data, NETWORK), envelope)


def test_every_one_byte_change_of_an_operation_is_refused_or_is_another_operation() -> None:
    signed = Chain(GENESIS, "alice").next(pay("bob", 70_000))
    body = open_envelope(signed.envelope).body
    ids = {signed.id}
    read_count = 0
    for changed in changes(body, tuple(range(1, 256))):
        try:
            operation = decode(Operation, changed)
        except MalformedRecord:
            continue
        read_count += 1
        assert operation != signed.record
        assert encode(operation) == changed
        ids.add(record_id(RecordKind.OPERATION, changed, NETWORK))

    assert len(ids) == read_count + 1 > 10_000


def test_a_certified_batch_with_one_byte_changed_is_refused() -> None:
    data = encode(batch_of(1, 2, 3).batch)

    assert not accepted(
        lambda changed: verify_batch(decode(CertifiedBatch, changed), WITNESSES, NETWORK), data
    )


def test_a_changed_proof_proves_the_same_operation_or_nothing() -> None:
    verified = batch_of(1, 2, 3)
    identity = verified.operations[0][0]

    def read(data: bytes) -> RecordId:
        return verify_proof(decode(CertifiedOperation, data), WITNESSES, NETWORK)[0]

    for changed in accepted(read, encode(prove(verified, identity))):
        assert read(changed) == identity


def test_changed_evidence_convicts_the_same_key_or_nobody() -> None:
    mallory = Chain(GENESIS, "mallory")
    account = convict_account(mallory.fork(pay("bob", 1)), mallory.fork(pay("bob", 2)))
    witness = next(convict_witnesses(batch_of(1, 9), batch_of(2, 8, 7), WITNESSES))
    assert account is not None

    def read(data: bytes) -> Equivocation:
        evidence = decode(Equivocation, data)
        verify_evidence(evidence, [WITNESSES], NETWORK)
        return evidence

    assert isinstance(account.proof, TwoOperations)
    assert not accepted(read, encode(account))
    for changed in accepted(read, encode(witness)):
        assert read(changed).culprit == witness.culprit


@given(st.data())
@settings(max_examples=150)
def test_a_change_anywhere_in_any_record_changes_its_id(data: st.DataObject) -> None:
    cls: type = data.draw(st.sampled_from([*record_classes().values()]))
    body = encode(data.draw(values(cls)))
    position = data.draw(st.integers(0, len(body) - 1))
    changed = bytearray(body)
    changed[position] ^= data.draw(st.integers(1, 255))
    try:
        again = encode(decode(cls, bytes(changed)))
    except MalformedRecord:
        return

    assert again == changed
    kind = kind_of(cls)
    assert record_id(kind, again, NETWORK) != record_id(kind, body, NETWORK)


@pytest.mark.parametrize("cls", TRAVELLING, ids=lambda cls: cls.__name__)
@given(data=st.data())
@settings(max_examples=40)
def test_another_library_reads_and_writes_the_same(cls: type, data: st.DataObject) -> None:
    encoded = encode(data.draw(values(cls)))
    plain = cbrrr.decode_dag_cbor(encoded)

    assert cbrrr.encode_dag_cbor(plain) == encoded
    changed = bytearray(encoded)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        read: object = decode(cls, bytes(changed))
    except MalformedRecord:
        return
    assert cbrrr.encode_dag_cbor(cbrrr.decode_dag_cbor(bytes(changed))) == encode(read) == changed
