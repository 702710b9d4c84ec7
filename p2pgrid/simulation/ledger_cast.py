"""Who takes part in a simulated ledger: names, their keys, and the genesis record."""

from functools import cache
from hashlib import blake2b

from nacl.signing import SigningKey

from p2pgrid.limits import simulated_ledger as limits
from p2pgrid.model.genesis import FarmingPolicy, Genesis, PricingPolicy
from p2pgrid.model.ids import AccountId, NodeId
from p2pgrid.units import Amount, TimestampMs

CONSUMERS = ("alice", "bob", "carol")
"""Honest accounts that pay and rent."""
FARM_NODE = "farmnode"
"""An honest node that others rent; its account settles."""
SPENDER = "mallory"
"""Signs two operations for one place, and more than it has."""
ACCOMPLICE = "eve"
"""A dishonest node: closes escrows of SPENDER twice together with it."""
ACCOUNTS = (*CONSUMERS, FARM_NODE, SPENDER, ACCOMPLICE)
CREATED_MS = TimestampMs(1_800_000_000_000)
SUPPLY = limits.START * len(ACCOUNTS)


@cache
def key_of(name: str) -> SigningKey:
    """The same key for the same name, in every run."""
    return SigningKey(blake2b(name.encode(), digest_size=32, person=b"simulated").digest())


@cache
def account_of(name: str) -> AccountId:
    """The account of `key_of(name)`."""
    return AccountId(bytes(key_of(name).verify_key))


def node_of(name: str) -> NodeId:
    """The node of `key_of(name)`."""
    return NodeId(account_of(name))


@cache
def witness_names(count: int) -> tuple[str, ...]:
    """Names whose keys are in the order of the witness set."""
    return tuple(sorted((f"witness{number}" for number in range(count)), key=account_of))


@cache
def genesis_of(witness_count: int, epoch_seconds: int) -> Genesis:
    """A grid with so many witnesses of weight 1, and epochs of that length."""
    return Genesis(
        name="simulated",
        created_ms=CREATED_MS,
        nonce=bytes(16),
        witnesses=tuple((node_of(name), 1) for name in witness_names(witness_count)),
        balances=tuple(sorted((account_of(name), Amount(limits.START)) for name in ACCOUNTS)),
        pricing=PricingPolicy(fee=Amount(limits.FEE)),
        farming=FarmingPolicy(),
        epoch_seconds=epoch_seconds,
        seeds=(),
    )
