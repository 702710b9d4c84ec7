"""A ballot around the end of an epoch: no vote that the next epoch would have to answer for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from p2pgrid.errors import Refused
from p2pgrid.ledger.archive import Archive
from p2pgrid.ledger.ballot import Ballot
from p2pgrid.ledger.certificate import WitnessSet, vote_for, vote_message
from p2pgrid.ledger.epoch_chain import EpochChain
from p2pgrid.limits.epochs import EPOCH_FREEZE_MS_MAX
from p2pgrid.limits.wire import FRAME_BYTES_MAX
from p2pgrid.model.certificate import VoteAnswer, VoteRequest
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Change
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import is_signed_by
from tests.ledger.council import Council
from tests.ledger.grids import Chain, epoch_keys, genesis_of, key_of, node_of, pay, witness_names

GENESIS = genesis_of(1)
(NAME,) = witness_names(1)
ONE = Chain(GENESIS, "alice").next(pay("bob", 1))
FIRST = EpochChain(GENESIS).frame.schedule


class HookedStore(MemoryStore):
    """Lets something happen while a commit is under way."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] = lambda: None

    async def commit(self, changes: Sequence[Change]) -> None:
        await super().commit(changes)
        self.meanwhile()


@dataclass
class Polling:
    """The ballot of a witness that is alone, and its clock."""

    now: int = FIRST.starts_ms
    store: HookedStore = field(default_factory=HookedStore)

    def __post_init__(self) -> None:
        self.archive = Archive(GENESIS, self.store, node_of(NAME), self.now_ms)
        self.keys = epoch_keys(key_of(NAME), self.store)
        self.ballot = Ballot(
            self.archive, self.store, self.keys, self.now_ms, on_behind=lambda _: None
        )

    def now_ms(self) -> TimestampMs:
        return TimestampMs(self.now)

    async def ask(self, witnesses: WitnessSet | None = None) -> bytes | None:
        """The signature for one payment, asked for in an epoch."""
        asked = self.archive.witnesses if witnesses is None else witnesses
        request = VoteRequest(
            epoch=asked.epoch, witness_set_hash=asked.hash, operations=(ONE.envelope,)
        )
        answer = await self.ballot.answer(node_of("asker"), encode(request))
        return decode(VoteAnswer, answer, bytes_max=FRAME_BYTES_MAX).signature

    def end(self, *operations: bytes) -> None:
        """End epoch 0 with these operations."""
        council = Council(1)
        member = council[0]
        seat = council.frame.seats[0]
        self.keys.make(1)
        fresh = self.keys.fresh(1, seat)
        assert fresh is not None
        member.voter.fresh = fresh
        certificate = council.end_with([ONE.id] if operations else [])
        self.archive.epochs.end(certificate)


async def test_no_vote_while_an_epoch_ends() -> None:
    polling = Polling(now=FIRST.ends_ms)
    with pytest.raises(Refused, match="is ending"):
        await polling.ask()
    polling.now = FIRST.ends_ms - 1

    assert await polling.ask() is not None


async def test_votes_go_on_when_the_agreement_takes_too_long() -> None:
    polling = Polling(now=FIRST.ends_ms + EPOCH_FREEZE_MS_MAX)

    assert await polling.ask() is not None


async def test_no_vote_before_it_knows_what_the_epoch_before_held() -> None:
    polling = Polling()
    polling.end(ONE.id)
    with pytest.raises(Refused, match="does not know yet"):
        await polling.ask()


async def test_no_signature_for_votes_of_an_epoch_that_ended_meanwhile() -> None:
    polling = Polling()

    def end() -> None:
        polling.store.meanwhile = lambda: None
        polling.end()
        polling.archive.settle()

    polling.store.meanwhile = end
    with pytest.raises(Refused, match="has ended"):
        await polling.ask()


async def test_signs_in_the_next_epoch_with_the_key_of_that() -> None:
    polling = Polling()
    old = polling.archive.witnesses
    polling.end()
    polling.archive.settle()
    signature = await polling.ask()
    witnesses = polling.archive.witnesses
    message = vote_message(vote_for([ONE.envelope], witnesses), GENESIS.network)

    assert signature is not None
    assert is_signed_by(witnesses.key_at(0), message, signature)
    assert not is_signed_by(node_of(NAME), message, signature)
    with pytest.raises(Refused, match="of another witness set"):
        await polling.ask(old)


async def test_who_lost_its_key_sits_out() -> None:
    polling = Polling()
    polling.end()
    polling.archive.settle()
    polling.keys.retire(1, None)

    with pytest.raises(Refused, match="lost its key"):
        await polling.ask()
