"""Operations of the ledger: one signed statement of one account, in its chain.

A slot is what must stay unique: (account, sequence) always, plus the extra
slot of the payload. Two different operations in one slot are an equivocation.
"""

from dataclasses import dataclass
from hashlib import blake2b

from p2pgrid.errors import InvalidRecord
from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.ids import ID_BYTES, AccountId, NodeId, RecordId, require_ids
from p2pgrid.units import SECOND_MS, Amount, TimestampMs
from p2pgrid.wire.codec import record, variant
from p2pgrid.wire.kinds import RecordKind

OUTPUTS_MAX = 64
MEMO_BYTES_MAX = 64
NO_PREVIOUS = RecordId(bytes(ID_BYTES))
"""What operation 0 of an account names as its predecessor."""


@variant(1)
@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Move amounts to other accounts."""

    outputs: tuple[tuple[AccountId, Amount], ...]
    memo: bytes = b""

    def __post_init__(self) -> None:
        require_ids(*(account for account, _ in self.outputs))
        if not 1 <= len(self.outputs) <= OUTPUTS_MAX:
            raise InvalidRecord(f"a transfer has 1 to {OUTPUTS_MAX} outputs")
        if any(amount <= 0 for _, amount in self.outputs):
            raise InvalidRecord("an output is more than nothing")
        if len(self.memo) > MEMO_BYTES_MAX:
            raise InvalidRecord(f"a memo has at most {MEMO_BYTES_MAX} bytes")

    @property
    def debit(self) -> int:
        """What it takes from the account, fee left out."""
        return sum(amount for _, amount in self.outputs)


@variant(2)
@dataclass(frozen=True, slots=True, kw_only=True)
class OpenEscrow:
    """Lock a deposit for a reservation. The escrow's id is this operation's id."""

    farm: AccountId
    """The farm's payout account."""
    node: NodeId
    """Whose account may settle."""
    deposit: Amount
    price_per_hour: Amount
    starts_at_ms: TimestampMs
    ends_at_ms: TimestampMs
    grace_seconds: int
    terms_hash: bytes

    def __post_init__(self) -> None:
        require_ids(self.farm, self.node, RecordId(self.terms_hash))
        if self.deposit <= 0 or self.starts_at_ms >= self.ends_at_ms:
            raise InvalidRecord("an escrow has a deposit, and ends after it starts")
        if self.ends_at_ms + self.grace_seconds * SECOND_MS > INTEGER_MAX:
            raise InvalidRecord("an escrow's grace ends, too")

    @property
    def debit(self) -> int:
        """What it takes from the account, fee left out."""
        return self.deposit


@variant(3)
@dataclass(frozen=True, slots=True, kw_only=True)
class CancelEscrow:
    """Stop accrual at the operation's time; the consumer's own right."""

    escrow: RecordId

    def __post_init__(self) -> None:
        require_ids(self.escrow)

    @property
    def debit(self) -> int:
        """Costs nothing but the fee."""
        return 0


@variant(4)
@dataclass(frozen=True, slots=True, kw_only=True)
class SettleEscrow:
    """Pay `to_farm` to the farm, the rest back to the consumer; closes. Made by the node."""

    escrow: RecordId
    to_farm: Amount
    evidence: bytes
    """Hash of the bill, 32 bytes."""

    def __post_init__(self) -> None:
        require_ids(self.escrow, RecordId(self.evidence))

    @property
    def debit(self) -> int:
        """Costs nothing."""
        return 0


@variant(5)
@dataclass(frozen=True, slots=True, kw_only=True)
class CloseEscrow:
    """Any split that both sides signed; closes."""

    escrow: RecordId
    to_farm: Amount
    other_signature: bytes
    """By the other side, of its `CloseTerms`."""

    def __post_init__(self) -> None:
        require_ids(self.escrow)
        if len(self.other_signature) != 64:
            raise InvalidRecord("a signature has 64 bytes")

    @property
    def debit(self) -> int:
        """Costs nothing."""
        return 0


@variant(6)
@dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimEscrow:
    """Everything back to the consumer, long after the end; closes."""

    escrow: RecordId

    def __post_init__(self) -> None:
        require_ids(self.escrow)

    @property
    def debit(self) -> int:
        """Costs nothing but the fee."""
        return 0


@record(RecordKind.CLOSE_TERMS)
@dataclass(frozen=True, slots=True, kw_only=True)
class CloseTerms:
    """What one side of an escrow signs to let the other close it."""

    escrow: RecordId
    to_farm: Amount
    party: AccountId
    """Who signs: the consumer, or the node."""

    def __post_init__(self) -> None:
        require_ids(self.escrow, self.party)

    @property
    def author(self) -> bytes:
        """The party."""
        return self.party


Payload = Transfer | OpenEscrow | CancelEscrow | SettleEscrow | CloseEscrow | ReclaimEscrow


@record(RecordKind.OPERATION)
@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One link of an account's chain."""

    account: AccountId
    sequence: int
    previous: RecordId
    time_ms: TimestampMs
    fee: Amount
    payload: Payload

    def __post_init__(self) -> None:
        require_ids(self.account, self.previous)
        if (self.sequence == 0) != (self.previous == NO_PREVIOUS):
            raise InvalidRecord("operation 0, and only it, has no predecessor")
        if self.debit > INTEGER_MAX:
            raise InvalidRecord("amounts add up to more than 2^63-1")

    @property
    def author(self) -> bytes:
        """The account."""
        return self.account

    @property
    def debit(self) -> int:
        """What it takes from the account, fee included."""
        return self.payload.debit + self.fee

    @property
    def slots(self) -> tuple[bytes, ...]:
        """What it uses up, 32 bytes each, its place in the chain first."""
        place = slot_of(b"account", self.account, self.sequence.to_bytes(8, "big"))
        match self.payload:
            case SettleEscrow(escrow=escrow) | CloseEscrow(escrow=escrow):
                return place, slot_of(b"closing", escrow)
            case ReclaimEscrow(escrow=escrow):
                return place, slot_of(b"closing", escrow)
            case _:
                return (place,)


def slot_of(purpose: bytes, *parts: bytes) -> bytes:
    """The 32-byte key of a slot."""
    return blake2b(b"".join(parts), digest_size=ID_BYTES, person=purpose).digest()
