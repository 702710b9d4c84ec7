"""An entry node certifies what a quorum accepts, says why not otherwise, and never spins."""

from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest

from p2pgrid.errors import PeerError
from p2pgrid.ledger.certificate import first_witnesses, verify_batch, vote_for, vote_message
from p2pgrid.ledger.entry import Ask, Certified, Clash, Effect, Entry, Turned
from p2pgrid.limits.ledger import (
    BATCH_INTERVAL_MS,
    BATCH_OPERATION_BYTES_MAX,
    ENTRY_OPERATIONS_MAX,
    OPERATIONS_PER_BATCH_MAX,
    PROPOSAL_PATIENCE_MS,
    WITNESS_RETRY_MS_MAX,
)
from p2pgrid.model.certificate import Reason, Refusal, VoteAnswer, VoteRequest
from p2pgrid.model.ids import NodeId, RecordId
from p2pgrid.model.operation import Operation, Transfer
from p2pgrid.units import Amount, TimestampMs
from p2pgrid.wire.signed import Signed, sign_message, verify
from tests.ledger.grids import (
    NOW,
    Chain,
    account_of,
    genesis_of,
    key_of,
    node_of,
    pay,
    witness_names,
)

GENESIS = genesis_of(4)
WITNESSES = first_witnesses(GENESIS)
NETWORK = GENESIS.network
NAMES = witness_names(4)
NAME_OF = {node_of(name): name for name in NAMES}


def at(delay_ms: int) -> TimestampMs:
    return TimestampMs(NOW + delay_ms)


def payments(count: int) -> list[Signed[Operation]]:
    return [Chain(GENESIS, f"payer{number}").next(pay("bob", 1)) for number in range(count)]


def answer(
    witness: NodeId, request: VoteRequest, refusals: dict[RecordId, Reason] | None = None
) -> VoteAnswer:
    refused = refusals or {}
    ids = [verify(Operation, one, NETWORK).id for one in request.operations]
    left = [
        envelope
        for one, envelope in zip(ids, request.operations, strict=True)
        if one not in refused
    ]
    signature = None
    if left:
        message = vote_message(vote_for(left, WITNESSES), NETWORK)
        signature = sign_message(message, key_of(NAME_OF[witness]))
    return VoteAnswer(
        refusals=tuple(
            Refusal(operation=one, reason=refused[one]) for one in ids if one in refused
        ),
        signature=signature,
    )


class Desk:
    """An entry node whose witnesses answer as told."""

    def __init__(self, operations: Sequence[Signed[Operation]] = ()) -> None:
        self.entry = Entry(WITNESSES, NETWORK)
        for one in operations:
            self.entry.submit(one, NOW)
        self.asks: list[Ask] = []
        self.done: list[Effect] = []

    def take(self, effects: Sequence[Effect]) -> None:
        self.asks += [one for one in effects if isinstance(one, Ask)]
        self.done += [one for one in effects if not isinstance(one, Ask)]

    def poll(self, delay_ms: int) -> None:
        self.take(self.entry.poll(at(delay_ms)))

    def respond(
        self,
        ask: Ask,
        name: str,
        refusals: dict[RecordId, Reason] | None = None,
        *,
        delay_ms: int = BATCH_INTERVAL_MS,
    ) -> None:
        witness = node_of(name)
        vote = answer(witness, ask.request, refusals)
        self.take(self.entry.receive(ask.proposal, witness, vote, at(delay_ms)))

    @property
    def certified(self) -> list[RecordId]:
        batches = [one for one in self.done if isinstance(one, Certified)]
        for one in batches:
            verify_batch(one.batch, WITNESSES, NETWORK)
        return [signed.id for one in batches for signed in one.operations]

    @property
    def turned(self) -> dict[RecordId, Reason]:
        return {one.operation.id: one.reason for one in self.done if isinstance(one, Turned)}


def test_gathers_for_a_while_then_asks_every_witness() -> None:
    desk = Desk(payments(3))
    desk.poll(BATCH_INTERVAL_MS - 1)
    assert desk.asks == []
    desk.poll(BATCH_INTERVAL_MS)
    (ask,) = desk.asks

    assert set(ask.witnesses) == {node_of(name) for name in NAMES}
    assert len(ask.request.operations) == 3


def test_a_full_batch_does_not_wait() -> None:
    desk = Desk(payments(OPERATIONS_PER_BATCH_MAX + 5))
    desk.poll(0)

    assert [len(ask.request.operations) for ask in desk.asks] == [OPERATIONS_PER_BATCH_MAX]


def test_a_batch_is_bounded_in_bytes() -> None:
    outputs = tuple((account_of(f"receiver{number}"), Amount(1)) for number in range(64))
    chains = [Chain(GENESIS, f"payer{number}") for number in range(40)]
    desk = Desk([chain.next(Transfer(outputs=outputs)) for chain in chains])
    desk.poll(BATCH_INTERVAL_MS)

    sizes = [sum(map(len, ask.request.operations)) for ask in desk.asks]
    assert max(sizes) <= BATCH_OPERATION_BYTES_MAX
    assert sum(len(ask.request.operations) for ask in desk.asks) == 40


def test_a_quorum_certifies() -> None:
    operations = payments(2)
    desk = Desk(operations)
    desk.poll(BATCH_INTERVAL_MS)
    for name in NAMES[:2]:
        desk.respond(desk.asks[0], name)
        assert desk.done == []
    desk.respond(desk.asks[0], NAMES[2])

    assert set(desk.certified) == {one.id for one in operations}
    assert desk.entry.under_way == 0
    desk.respond(desk.asks[0], NAMES[3])
    assert len(desk.done) == 1


def test_when_witnesses_differ_the_part_that_a_quorum_accepts_is_proposed_again() -> None:
    good, bad = payments(2)
    desk = Desk([good, bad])
    desk.poll(BATCH_INTERVAL_MS)
    (ask,) = desk.asks
    for name in NAMES:
        refused = {bad.id: Reason.FUNDS} if name in NAMES[:2] else {}
        desk.respond(ask, name, refused)

    assert desk.turned == {bad.id: Reason.FUNDS}
    _, again = desk.asks
    assert again.request.operations == (good.envelope,)
    for name in NAMES[:3]:
        desk.respond(again, name)
    assert desk.certified == [good.id]


def test_operations_that_different_quorums_accept_go_on_apart() -> None:
    """Together they would get three different roots, for ever."""
    one, other = payments(2)
    desk = Desk([one, other])
    desk.poll(BATCH_INTERVAL_MS)
    (ask,) = desk.asks
    desk.respond(ask, NAMES[0], {one.id: Reason.BEHIND})
    desk.respond(ask, NAMES[1], {other.id: Reason.BEHIND})
    for name in NAMES[2:]:
        desk.respond(ask, name)

    assert sorted(again.request.operations for again in desk.asks[1:]) == sorted(
        [(one.envelope,), (other.envelope,)]
    )


def test_slow_witnesses_are_waited_for_and_not_for_ever() -> None:
    good, bad = payments(2)
    desk = Desk([good, bad])
    desk.poll(BATCH_INTERVAL_MS)
    (ask,) = desk.asks
    for name, refused in zip(NAMES, ({bad.id: Reason.FUNDS}, {}, {}), strict=False):
        desk.respond(ask, name, refused)
    desk.poll(BATCH_INTERVAL_MS + PROPOSAL_PATIENCE_MS - 1)
    assert len(desk.asks) == 1
    desk.poll(BATCH_INTERVAL_MS + PROPOSAL_PATIENCE_MS)

    assert [one.request.operations for one in desk.asks[1:]] == [(good.envelope,)]
    assert desk.turned == {}


@pytest.mark.parametrize("reason", [Reason.CONFLICT, Reason.CONVICTED, Reason.FUNDS])
def test_what_too_many_refuse_is_turned_away_with_the_reason(reason: Reason) -> None:
    (one,) = payments(1)
    desk = Desk([one])
    desk.poll(BATCH_INTERVAL_MS)
    for name in NAMES[:3]:
        desk.respond(desk.asks[0], name, {one.id: reason})
    desk.poll(BATCH_INTERVAL_MS + PROPOSAL_PATIENCE_MS)

    assert desk.turned == {one.id: reason}


def test_a_conflict_is_reported_by_the_first_who_knows() -> None:
    chain = Chain(GENESIS, "alice")
    one, other = chain.fork(pay("bob", 1)), chain.fork(pay("bob", 2))
    desk = Desk([one])
    desk.poll(BATCH_INTERVAL_MS)
    refusal = Refusal(operation=one.id, reason=Reason.CONFLICT, conflict=other.envelope)
    vote = VoteAnswer(refusals=(refusal,), signature=None)
    desk.take(desk.entry.receive(0, node_of(NAMES[0]), vote, at(BATCH_INTERVAL_MS)))

    assert desk.done == [Clash(one, other.envelope)]


def wrong_answers(one: Signed[Operation], request: VoteRequest) -> list[VoteAnswer]:
    good = answer(node_of(NAMES[1]), request)
    stranger = Refusal(operation=RecordId(bytes(32)), reason=Reason.FUNDS)
    refusal = Refusal(operation=one.id, reason=Reason.FUNDS)
    return [
        good,  # of another witness
        VoteAnswer(refusals=(), signature=None),
        VoteAnswer(refusals=(stranger,), signature=good.signature),
        VoteAnswer(refusals=(refusal,), signature=good.signature),
        VoteAnswer(refusals=(refusal, refusal), signature=None),
    ]


@pytest.mark.parametrize("case", range(5))
def test_a_wrong_answer_counts_as_none(case: int) -> None:
    (one,) = payments(1)
    desk = Desk([one])
    desk.poll(BATCH_INTERVAL_MS)
    (ask,) = desk.asks
    witness = node_of(NAMES[0])
    with pytest.raises(PeerError):
        desk.entry.receive(0, witness, wrong_answers(one, ask.request)[case], at(BATCH_INTERVAL_MS))
    desk.entry.fail(0, witness, at(BATCH_INTERVAL_MS))
    for name in NAMES[1:]:
        desk.respond(ask, name)

    assert desk.certified == [one.id]


def test_a_witness_that_is_down_is_asked_again_less_and_less_often() -> None:
    desk = Desk(payments(1))
    asked: list[int] = []
    for delay_ms in range(0, 60_000, 50):
        before = len(desk.asks)
        desk.poll(delay_ms)
        for ask in desk.asks[before:]:
            asked.append(delay_ms)
            for witness in ask.witnesses:
                desk.entry.fail(ask.proposal, witness, at(delay_ms))
    pauses = [later - earlier for earlier, later in pairwise(asked)]

    assert pauses[0] < 300
    assert pauses == sorted(pauses)
    assert pauses[-1] == WITNESS_RETRY_MS_MAX


def test_submitting_again_changes_nothing() -> None:
    (one,) = payments(1)
    desk = Desk([one, one])
    desk.poll(BATCH_INTERVAL_MS)
    desk.entry.submit(one, at(BATCH_INTERVAL_MS))
    desk.poll(10 * BATCH_INTERVAL_MS)

    assert desk.entry.under_way == 1
    assert len(desk.asks) == 1


def test_what_nobody_waits_for_is_dropped() -> None:
    (one,) = payments(1)
    desk = Desk([one])
    desk.poll(BATCH_INTERVAL_MS)
    desk.entry.forget(one.id)
    desk.poll(2 * BATCH_INTERVAL_MS)

    assert desk.entry.wake_at is None


def test_there_is_room_for_so_many_and_no_more() -> None:
    (one,) = payments(1)
    desk = Desk()
    for number in range(ENTRY_OPERATIONS_MAX):
        identity = RecordId(number.to_bytes(32, "big"))
        desk.entry.submit(Signed(one.record, identity, one.envelope), NOW)

    assert not desk.entry.has_room


@pytest.mark.parametrize("seed", range(20))
def test_after_a_poll_the_next_is_due_later(seed: int) -> None:
    """Otherwise the shell would spin: wake up, change nothing, wake up."""
    random = Random(seed)
    desk, clock = Desk(), 0
    operations = payments(30)
    for _ in range(120):
        clock += random.randint(1, 150)
        if operations and random.random() < 0.5:
            desk.entry.submit(operations.pop(), at(clock))
        desk.poll(clock)
        if desk.asks and random.random() < 0.7:
            ask = random.choice(desk.asks)
            name = random.choice(NAMES)
            ids = [verify(Operation, one, NETWORK).id for one in ask.request.operations]
            refused = {one: Reason.BEHIND for one in ids if random.random() < 0.3}
            if random.random() < 0.3:
                desk.entry.fail(ask.proposal, node_of(name), at(clock))
            else:
                desk.respond(ask, name, refused, delay_ms=clock)
            desk.poll(clock)
        wake_at = desk.entry.wake_at
        assert wake_at is None or wake_at > at(clock)
