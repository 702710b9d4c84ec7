"""The ledger: what a witness votes for, what a replica takes in, what four witnesses certify.

All against the rate at which PyNaCl alone verifies signatures, in the same run:
a witness cannot do better, as it verifies one signature for each operation.
Seconds of the first two are of CPU, since they say what one core can do.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import SystemRandom

import trio
from nacl.signing import VerifyKey

from p2pgrid import clock
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.ballot import Ballot
from p2pgrid.ledger.certificate import (
    assemble,
    first_witnesses,
    verify_batch,
    vote_for,
    vote_message,
)
from p2pgrid.ledger.epoch_keys import EpochKeys
from p2pgrid.limits.ledger import OPERATIONS_PER_BATCH_MAX
from p2pgrid.limits.wire import FRAME_BYTES_MAX, RECORD_BYTES_MAX
from p2pgrid.model.certificate import CertifiedBatch, VoteAnswer, VoteRequest
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import NodeId
from p2pgrid.model.operation import Operation
from p2pgrid.store.leveldb import open_leveldb
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import NetworkId, message_of, open_envelope, sign_message, verify
from tests.benchmarks.ledger_node import WARM_UP, WITNESSES, founded, key_of, public, transfers
from tests.benchmarks.measurement import Measurement, compare

OPERATIONS = 6_000
OPERATIONS_END_TO_END = 6_000
WITNESS_TARGET = 0.7
REPLICA_TARGET = 1.7  # 30,000 op/s where PyNaCl does 17,600
END_TO_END_TARGET = 0.06  # 1,000 op/s where PyNaCl does 17,000; five processes share the cores


def measure() -> Iterator[Measurement]:
    """A witness, a replica, and the whole way through five processes."""
    genesis = founded(OPERATIONS, 1)
    envelopes = transfers(OPERATIONS, genesis.network, genesis.pricing.fee)
    with tempfile.TemporaryDirectory(prefix="p2pgrid-bench-") as name:
        directory = Path(name)
        answers, voted, bare = trio.run(_vote, directory, genesis, envelopes)
        batches = _certify(genesis, envelopes, answers)
        applied = trio.run(_apply, directory, genesis, batches)
        certified = _end_to_end(directory)
    reference = ("PyNaCl verify, one core", bare)
    for bench, rate, target in (
        ("ledger.witness", voted, WITNESS_TARGET),
        ("ledger.replica", applied, REPLICA_TARGET),
        ("ledger.end_to_end", certified, END_TO_END_TARGET),
    ):
        yield compare(bench, rate, "op/s", reference=reference, target=target)


def _prepare(network: NetworkId, envelopes: Sequence[bytes]) -> list[tuple[bytes, bytes, bytes]]:
    """(key, message, signature) of each operation."""
    prepared: list[tuple[bytes, bytes, bytes]] = []
    for envelope in envelopes:
        signed = verify(Operation, envelope, network)
        opened = open_envelope(envelope)
        message = message_of(opened.kind, signed.id, network)
        prepared.append((signed.record.account, message, opened.signature))
    return prepared


def _batches(envelopes: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
    for start in range(0, len(envelopes), OPERATIONS_PER_BATCH_MAX):
        yield tuple(envelopes[start : start + OPERATIONS_PER_BATCH_MAX])


async def _vote(
    directory: Path, genesis: Genesis, envelopes: Sequence[bytes]
) -> tuple[list[VoteAnswer], float, float]:
    """A witness's answers; operations a second that it votes for, and that PyNaCl verifies.

    Both in turns, batch by batch, since the machine is shared and its speed changes.
    """
    own = NodeId(public("witness0"))
    answers: list[VoteAnswer] = []
    seconds = bare_seconds = 0.0
    async with open_leveldb(directory / "witness", name="ledger") as store:
        archive = Archive(genesis, store, own, clock.now_ms)
        ballot = Ballot(
            archive,
            store,
            EpochKeys(key_of("witness0"), store, SystemRandom().randbytes),
            clock.now_ms,
            on_behind=lambda _: None,
        )
        for operations in _batches(envelopes):
            request = VoteRequest(
                epoch=0, witness_set_hash=archive.witnesses.hash, operations=operations
            )
            body, prepared = encode(request), _prepare(archive.network, operations)
            started = time.process_time()
            answer = await ballot.answer(own, body)
            ended = time.process_time()
            for key, message, signature in prepared:
                VerifyKey(key).verify(message, signature)
            bare_seconds += time.process_time() - ended
            seconds += ended - started
            answers.append(decode(VoteAnswer, answer, bytes_max=FRAME_BYTES_MAX))
    assert not any(answer.refusals for answer in answers), "a witness refused"
    return answers, len(envelopes) / seconds, len(envelopes) / bare_seconds


def _certify(
    genesis: Genesis, envelopes: Sequence[bytes], answers: Sequence[VoteAnswer]
) -> list[bytes]:
    """The certified batches that the witness's votes make."""
    witness, network = NodeId(public("witness0")), genesis.network
    done = []
    witnesses = first_witnesses(genesis)
    for operations, answer in zip(_batches(envelopes), answers, strict=True):
        vote = vote_for(operations, witnesses)
        assert answer.signature == sign_message(vote_message(vote, network), key_of("witness0"))
        certificate = assemble(vote, {witness: answer.signature}, witnesses)
        assert certificate is not None
        done.append(encode(CertifiedBatch(operations=operations, certificate=certificate)))
    return done


async def _apply(directory: Path, genesis: Genesis, batches: Sequence[bytes]) -> float:
    """Operations a second that a replica verifies by certificate, folds and stores."""
    async with open_leveldb(directory / "replica", name="ledger") as store:
        archive = Archive(genesis, store, NodeId(public("replica")), clock.now_ms)
        started = time.process_time()
        for data in batches:
            batch = decode(CertifiedBatch, data, bytes_max=RECORD_BYTES_MAX)
            archive.admit(verify_batch(batch, archive.witnesses, archive.network))
        seconds = time.process_time() - started
        assert archive.state.operation_count == OPERATIONS
    return OPERATIONS / seconds


def _end_to_end(directory: Path) -> float:
    """Operations a second that an entry node gets certified by four witness processes."""
    count = str(OPERATIONS_END_TO_END + WARM_UP)
    with ExitStack() as stack:
        addresses = []
        for number in range(WITNESSES):
            name = f"witness{number}"
            process = stack.enter_context(
                subprocess.Popen(
                    _command("witness", str(directory / name), name, count),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            assert process.stdout is not None
            assert process.stdin is not None
            addresses.append(json.loads(process.stdout.readline())["address"])
            stack.callback(process.stdin.close)
        entry = _command("entry", str(directory / "entry"), count, *addresses)
        said = json.loads(subprocess.check_output(entry))
    return float(said["operations"]) / float(said["seconds"])


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.ledger_node", *arguments]
