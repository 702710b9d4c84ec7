"""Records: signed and encoded, decoded and verified, beside bare PyNaCl on the same messages."""

import time
from collections.abc import Callable, Iterator

from nacl.signing import SigningKey, VerifyKey

from p2pgrid.model.ids import AccountId, NetworkId, RecordId
from p2pgrid.model.operation import Operation, Transfer
from p2pgrid.units import Amount, TimestampMs
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.kinds import RecordKind
from p2pgrid.wire.signed import message_of, record_id, sign, verify
from tests.benchmarks.measurement import Measurement, compare

TARGET = 0.6
"""The signature is most of the work: 20 µs of encoding and checks beside 55 µs to verify."""

ROUNDS = 5
CALLS = 400

NETWORK = NetworkId(bytes(16))
KEY = SigningKey(b"k" * 32)
OPERATION = Operation(
    account=AccountId(bytes(KEY.verify_key)),
    sequence=7,
    previous=RecordId(b"p" * 32),
    time_ms=TimestampMs(1_700_000_000_000),
    fee=Amount(10_000),
    payload=Transfer(outputs=((AccountId(b"r" * 32), Amount(12_500_000)),), memo=b"rent"),
)


def measure() -> Iterator[Measurement]:
    """Whole path of a transfer, both ways; then the codec alone, both ways."""
    envelope = sign(OPERATION, KEY, NETWORK).envelope
    body = encode(OPERATION)
    message = message_of(
        RecordKind.OPERATION, record_id(RecordKind.OPERATION, body, NETWORK), NETWORK
    )
    signature = KEY.sign(message).signature
    # As the bare user of PyNaCl does: the key is made into an object once.
    verify_key = VerifyKey(OPERATION.account)

    ours, bare = rates(lambda: sign(OPERATION, KEY, NETWORK), lambda: KEY.sign(message))
    yield _beside("records.sign", ours, ("PyNaCl sign", bare))
    ours, bare = rates(
        lambda: verify(Operation, envelope, NETWORK), lambda: verify_key.verify(message, signature)
    )
    yield _beside("records.verify", ours, ("PyNaCl verify", bare))
    encodes, decodes = rates(lambda: encode(OPERATION), lambda: decode(Operation, body))
    yield _beside("records.encode", encodes, ("PyNaCl verify", bare), target=4)
    yield _beside("records.decode", decodes, ("PyNaCl verify", bare), target=2)


def _beside(
    bench: str, value: float, reference: tuple[str, float], *, target: float = TARGET
) -> Measurement:
    name, rate = reference
    return compare(bench, round(value), "1/s", reference=(name, round(rate)), target=target)


def rates(ours: Callable[[], object], reference: Callable[[], object]) -> tuple[float, float]:
    """Calls per second of both, the best of rounds that alternate: neighbours slow both alike."""
    spent = [(_seconds(ours), _seconds(reference)) for _ in range(ROUNDS)]
    return CALLS / min(one for one, _ in spent), CALLS / min(one for _, one in spent)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return time.perf_counter() - start
