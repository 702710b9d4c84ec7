"""A ballot answers only what an entry node of its epoch may ask, and only after the disk."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import trio

from p2pgrid.errors import BrokenProtocol, PeerError, Refused, StoreFailed
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.ballot import Ballot
from p2pgrid.ledger.certificate import first_witnesses, vote_for, vote_message
from p2pgrid.limits.ledger import THREAD_OPERATIONS_MIN
from p2pgrid.limits.wire import FRAME_BYTES_MAX
from p2pgrid.model.certificate import VoteAnswer, VoteRequest
from p2pgrid.model.ids import NodeId
from p2pgrid.model.operation import Operation
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Change, Table
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import Signed, is_signed_by
from tests.ledger.grids import (
    NOW,
    Chain,
    epoch_keys,
    genesis_of,
    key_of,
    node_of,
    pay,
    witness_names,
)

GENESIS = genesis_of(4)
WITNESSES = first_witnesses(GENESIS)
NETWORK = GENESIS.network
WITNESS = witness_names(4)[0]
ASKER = node_of("asker")


def ballot_of(name: str, store: MemoryStore, behind: list[NodeId] | None = None) -> Ballot:
    archive = Archive(GENESIS, store, node_of(name), lambda: NOW)
    seen = [] if behind is None else behind
    return Ballot(
        archive, store, epoch_keys(key_of(name), store), lambda: NOW, on_behind=seen.append
    )


def request(*operations: Signed[Operation]) -> VoteRequest:
    return VoteRequest(
        epoch=0,
        witness_set_hash=WITNESSES.hash,
        operations=tuple(one.envelope for one in operations),
    )


def payments(count: int) -> list[Signed[Operation]]:
    alice = Chain(GENESIS, "alice")
    return [alice.next(pay("bob", 1)) for _ in range(count)]


@pytest.mark.parametrize("count", [1, THREAD_OPERATIONS_MIN])
async def test_signs_for_what_it_accepts_and_has_it_on_disk(count: int) -> None:
    store, operations = MemoryStore(), payments(count)
    data = await ballot_of(WITNESS, store).answer(ASKER, encode(request(*operations)))
    answer = decode(VoteAnswer, data, bytes_max=FRAME_BYTES_MAX)
    message = vote_message(vote_for([one.envelope for one in operations], WITNESSES), NETWORK)

    assert answer.signature is not None
    assert is_signed_by(node_of(WITNESS), message, answer.signature)
    assert len(list(store.scan(Table.VOTED_OPERATION))) == count


async def test_who_is_no_witness_does_not_vote() -> None:
    with pytest.raises(Refused, match="no witness"):
        await ballot_of("bystander", MemoryStore()).answer(ASKER, encode(request(*payments(1))))


@pytest.mark.parametrize("change", [{"epoch": 1}, {"witness_set_hash": bytes(32)}])
async def test_no_vote_in_another_epoch_or_witness_set(change: dict[str, object]) -> None:
    body = encode(replace(request(*payments(1)), **change))  # type: ignore[arg-type]  # one of two fields

    with pytest.raises(Refused, match="another witness set"):
        await ballot_of(WITNESS, MemoryStore()).answer(ASKER, body)


async def test_an_operation_twice_in_a_batch_is_no_batch() -> None:
    """Its Merkle root would certify one operation under two indexes."""
    (one,) = payments(1)

    with pytest.raises(BrokenProtocol, match="twice"):
        await ballot_of(WITNESS, MemoryStore()).answer(ASKER, encode(request(one, one)))


async def test_one_bad_signature_spoils_the_request() -> None:
    store, (first, second) = MemoryStore(), payments(2)
    forged = replace(second, envelope=second.envelope[:-1] + bytes([second.envelope[-1] ^ 1]))

    with pytest.raises(PeerError):
        await ballot_of(WITNESS, store).answer(ASKER, encode(request(first, forged)))
    assert not list(store.scan(Table.VOTE))


async def test_a_request_that_shows_it_to_be_behind_is_reported() -> None:
    behind: list[NodeId] = []
    _, second = payments(2)
    data = await ballot_of(WITNESS, MemoryStore(), behind).answer(ASKER, encode(request(second)))

    assert decode(VoteAnswer, data).signature is None
    assert behind == [ASKER]


class Full(MemoryStore):
    """A disk without room."""

    async def commit(self, changes: Sequence[Change]) -> None:
        await trio.lowlevel.checkpoint()
        raise StoreFailed("no room")


async def test_a_vote_that_the_disk_refuses_is_not_given_and_not_forgotten() -> None:
    ballot = ballot_of(WITNESS, Full())
    chain = Chain(GENESIS, "alice")
    one, other = chain.fork(pay("bob", 1)), chain.fork(pay("bob", 2))

    for operation in (one, other):
        with pytest.raises(StoreFailed):
            await ballot.answer(ASKER, encode(request(operation)))
