"""The documents that a consumer and a node sign to agree on a reservation."""

from dataclasses import dataclass
from enum import IntEnum
from functools import reduce
from operator import add

from p2pgrid.errors import InvalidRecord
from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import AccountId, FarmId, NodeId, RecordId, require_ids, require_text
from p2pgrid.model.workload import Workload
from p2pgrid.units import SECOND_MS, Amount, TimestampMs
from p2pgrid.wire.codec import record
from p2pgrid.wire.kinds import RecordKind

WORKLOADS_MAX = 32
SIGNERS_MAX = 32
DETAIL_BYTES_MAX = 1024
DURATION_SECONDS_MIN = 60
DURATION_SECONDS_MAX = 366 * 24 * 3600


class Phase(IntEnum):
    """Where in its life a reservation is."""

    REQUESTED = 1
    QUOTED = 2
    FUNDED = 3
    DEPLOYING = 4
    RUNNING = 5
    PAUSED = 6
    ENDING = 7
    ENDED = 8
    EXPIRED = 9
    FAILED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """Somebody whose signature counts towards a reservation."""

    key: AccountId
    weight: int
    is_required: bool


@record(RecordKind.RESERVATION_REQUEST)
@dataclass(frozen=True, slots=True, kw_only=True)
class ReservationRequest:
    """What a consumer asks of one node. Its id is the id of the reservation."""

    consumer: AccountId
    node: NodeId
    nonce: bytes
    """16 random bytes: the same request sent twice is the same reservation."""
    valid_until_ms: TimestampMs
    starts_at_ms: TimestampMs
    duration_seconds: int
    grace_seconds: int
    workloads: tuple[Workload, ...]
    signers: tuple[Signer, ...] = ()
    """Besides the consumer."""
    weight_needed: int = 0

    def __post_init__(self) -> None:
        require_ids(self.consumer, self.node, *(signer.key for signer in self.signers))
        if len(self.nonce) != 16:
            raise InvalidRecord("a nonce has 16 bytes")
        if not DURATION_SECONDS_MIN <= self.duration_seconds <= DURATION_SECONDS_MAX:
            raise InvalidRecord("a reservation lasts between a minute and 366 days")
        if not 1 <= len(self.workloads) <= WORKLOADS_MAX:
            raise InvalidRecord(f"a reservation has 1 to {WORKLOADS_MAX} workloads")
        ends_at_ms = self.starts_at_ms + (self.duration_seconds + self.grace_seconds) * SECOND_MS
        if ends_at_ms > INTEGER_MAX or len(self.signers) > SIGNERS_MAX:
            raise InvalidRecord("a reservation ends, and has not too many signers")
        if len({workload.name for workload in self.workloads}) != len(self.workloads):
            raise InvalidRecord("two workloads have the same name")

    @property
    def author(self) -> bytes:
        """The consumer."""
        return self.consumer

    @property
    def needs(self) -> Capacity:
        """What all workloads together take from the node."""
        return reduce(add, (workload.needs for workload in self.workloads), Capacity())


@record(RecordKind.QUOTE)
@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A node's answer: the price, and until when the capacity is held."""

    node: NodeId
    farm: FarmId
    payout: AccountId
    """The farm's payout account, where a settlement goes."""
    request: RecordId
    price_per_hour: Amount
    deposit: Amount
    valid_until_ms: TimestampMs

    def __post_init__(self) -> None:
        require_ids(self.node, self.farm, self.payout, self.request)

    @property
    def author(self) -> bytes:
        """The node."""
        return self.node


@record(RecordKind.CANCELLATION)
@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """The consumer ends a reservation early; accrual stops with the CancelEscrow operation."""

    consumer: AccountId
    reservation: RecordId
    time_ms: TimestampMs

    def __post_init__(self) -> None:
        require_ids(self.consumer, self.reservation)

    @property
    def author(self) -> bytes:
        """The consumer."""
        return self.consumer


@record(RecordKind.STATUS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a reservation stands, said by its node."""

    node: NodeId
    reservation: RecordId
    time_ms: TimestampMs
    phase: Phase
    addresses: tuple[str, ...]
    """IPv6 addresses of the running workloads, in their order."""
    detail: str
    """For people: progress, or why it failed. See `one_line`."""
    exit_code: int | None

    def __post_init__(self) -> None:
        require_ids(self.node, self.reservation)
        require_text(self.detail, "detail", bytes_max=DETAIL_BYTES_MAX)
        if len(self.addresses) > WORKLOADS_MAX:
            raise InvalidRecord("more addresses than workloads")
        for address in self.addresses:
            require_text(address, "address", bytes_max=64)

    @property
    def author(self) -> bytes:
        """The node."""
        return self.node
