"""Small grids with known keys, and operations on them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from random import Random

from nacl.signing import SigningKey

from p2pgrid.ledger.certificate import WitnessSet, assemble, first_witnesses, vote_for, vote_message
from p2pgrid.ledger.epoch_keys import EpochKeys
from p2pgrid.model.certificate import CertifiedBatch
from p2pgrid.model.genesis import FarmingPolicy, Genesis, PricingPolicy
from p2pgrid.model.ids import AccountId, NodeId, RecordId
from p2pgrid.model.operation import (
    NO_PREVIOUS,
    CloseTerms,
    OpenEscrow,
    Operation,
    Payload,
    Transfer,
)
from p2pgrid.store.store import Store
from p2pgrid.units import HOUR_MS, Amount, TimestampMs
from p2pgrid.wire.signed import Signed, open_envelope, sign, sign_message

NOW = TimestampMs(1_800_000_000_000)
FEE = Amount(10)
CONSUMERS = ("alice", "bob", "carol")
START = Amount(1_000)


@cache
def key_of(name: str) -> SigningKey:
    """The same key for the same name, in every run."""
    return SigningKey(blake2b(name.encode(), digest_size=32).digest())


def epoch_keys(key: SigningKey, store: Store) -> EpochKeys:
    """The keys of a witness, the same in every run."""
    return EpochKeys(key, store, Random(bytes(key)).randbytes)


def account_of(name: str) -> AccountId:
    """The account of `key_of(name)`."""
    return AccountId(bytes(key_of(name).verify_key))


def node_of(name: str) -> NodeId:
    """The node of `key_of(name)`."""
    return NodeId(bytes(key_of(name).verify_key))


def witness_names(count: int) -> list[str]:
    """Names whose keys are in the order of the witness set."""
    return sorted((f"witness{number}" for number in range(count)), key=account_of)


@cache
def genesis_of(
    witness_count: int, balances: tuple[tuple[str, int], ...] = tuple((c, START) for c in CONSUMERS)
) -> Genesis:
    """A grid with witnesses of weight 1 and these first balances."""
    return Genesis(
        name="test",
        created_ms=NOW,
        nonce=bytes(16),
        witnesses=tuple((node_of(name), 1) for name in witness_names(witness_count)),
        balances=tuple(sorted((account_of(name), Amount(amount)) for name, amount in balances)),
        pricing=PricingPolicy(fee=FEE),
        farming=FarmingPolicy(),
        epoch_seconds=86_400,
        seeds=(),
    )


def pay(receiver: str, amount: int) -> Transfer:
    """A transfer with one output."""
    return Transfer(outputs=((account_of(receiver), Amount(amount)),))


def escrow_terms(*, deposit: int = 100, price: int = 60, hours: int = 1) -> OpenEscrow:
    """An escrow from NOW on, for the node `node` of the farm `farm`."""
    return OpenEscrow(
        farm=account_of("farm"),
        node=node_of("node"),
        deposit=Amount(deposit),
        price_per_hour=Amount(price),
        starts_at_ms=NOW,
        ends_at_ms=TimestampMs(NOW + hours * HOUR_MS),
        grace_seconds=60,
        terms_hash=bytes(32),
    )


def close_signature(genesis: Genesis, party: str, escrow: RecordId, to_farm: int) -> bytes:
    """What `party` signs to let the other side close."""
    terms = CloseTerms(escrow=escrow, to_farm=Amount(to_farm), party=account_of(party))
    return open_envelope(sign(terms, key_of(party), genesis.network).envelope).signature


@dataclass
class Chain:
    """An account that signs one operation after the other."""

    genesis: Genesis
    name: str
    operations: list[Signed[Operation]] = field(default_factory=list)

    def next(self, payload: Payload, *, fee: int = FEE, time_ms: int = NOW) -> Signed[Operation]:
        """Sign the next operation."""
        signed = self.fork(payload, fee=fee, time_ms=time_ms)
        self.operations.append(signed)
        return signed

    def fork(self, payload: Payload, *, fee: int = FEE, time_ms: int = NOW) -> Signed[Operation]:
        """Sign an operation for the next place and do not remember it: the double spender."""
        operation = Operation(
            account=account_of(self.name),
            sequence=len(self.operations),
            previous=self.operations[-1].id if self.operations else NO_PREVIOUS,
            time_ms=TimestampMs(time_ms),
            fee=Amount(fee),
            payload=payload,
        )
        return sign(operation, key_of(self.name), self.genesis.network)


def certify(
    genesis: Genesis, operations: Sequence[Signed[Operation]], *, signers: Sequence[str] = ()
) -> CertifiedBatch:
    """A batch with the votes of `signers`, else of all witnesses; asks nobody."""
    witnesses: WitnessSet = first_witnesses(genesis)
    vote = vote_for([one.envelope for one in operations], witnesses)
    message = vote_message(vote, genesis.network)
    names = signers or witness_names(len(genesis.witnesses))
    signatures = {node_of(name): sign_message(message, key_of(name)) for name in names}
    certificate = assemble(vote, signatures, witnesses)
    assert certificate is not None, "too few signers"
    return CertifiedBatch(
        operations=tuple(one.envelope for one in operations), certificate=certificate
    )
