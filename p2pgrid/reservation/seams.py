"""What reservations need from the rest of the node; `node.py` plugs it in."""

from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nacl.signing import SigningKey

from p2pgrid.errors import GridError
from p2pgrid.model.ids import AccountId, FlistId, NetworkId, NodeId, RecordId
from p2pgrid.model.operation import OpenEscrow, Payload
from p2pgrid.model.workload import Workload
from p2pgrid.reservation.admission import Offer
from p2pgrid.store.store import Store
from p2pgrid.units import Amount, TimestampMs


class ClosingView(Protocol):
    """How an escrow ended; the two add up to the deposit."""

    @property
    def to_farm(self) -> Amount:
        """What the farm got."""
        ...

    @property
    def refund(self) -> Amount:
        """What the consumer got back."""
        ...


class AccountView(Protocol):
    """One account, as far as is known here."""

    @property
    def balance(self) -> int:
        """In 10^-7 TFT; may be negative while a certified operation is missing here."""
        ...

    @property
    def is_convicted(self) -> bool:
        """It signed two operations for one place: it can pay nothing any more."""
        ...


class EscrowView(Protocol):
    """A certified escrow."""

    @property
    def id(self) -> RecordId:
        """Of the operation that opened it."""
        ...

    @property
    def consumer(self) -> AccountId:
        """Whose deposit it is."""
        ...

    @property
    def terms(self) -> OpenEscrow:
        """What was locked, for whom."""
        ...

    @property
    def cancelled_at_ms(self) -> TimestampMs | None:
        """When the consumer stopped accrual, by its own clock."""
        ...

    @property
    def closing(self) -> ClosingView | None:
        """None while it is open."""
        ...


class Ledger(Protocol):
    """The way to the ledger, for a node and for a consumer alike."""

    async def spend(self, payload: Payload, key: SigningKey) -> RecordId:
        """Make the next operation of that key's account; return when it is certified.

        An operation that a crash interrupted is finished by the ledger itself at
        its next start, so callers look before they spend again.

        Raises:
            Refused: it will not be certified (InsufficientBalance, for one).
            Unreachable: not enough witnesses answered; it may be certified later.
        """
        ...

    async def escrow(self, escrow: RecordId) -> EscrowView | None:
        """A certified escrow by its id; None when it is not known here (yet)."""
        ...

    async def find_escrow(self, consumer: AccountId, terms_hash: bytes) -> EscrowView | None:
        """The certified escrow of that account with those terms; the lowest id of several."""
        ...


class HostLedger(Ledger, Protocol):
    """What a node needs to know besides."""

    async def account(self, account: AccountId) -> AccountView:
        """How an account stands. Raises Unreachable when nobody can tell."""
        ...


class Workloads(Protocol):
    """The machine that runs workloads. Every call may be repeated."""

    async def deploy(self, reservation: RecordId, workloads: Sequence[Workload]) -> tuple[str, ...]:
        """Start them all; return their IPv6 addresses once they are up. Raises GridError."""
        ...

    async def tear_down(self, reservation: RecordId) -> None:
        """Remove every trace of them. Raises GridError: something is left."""
        ...

    def logs(self, reservation: RecordId, name: str, tail_bytes: int) -> bytes:
        """The last bytes that a container wrote. Raises NotFound."""
        ...

    async def recover(
        self, keep: Mapping[RecordId, Sequence[Workload]]
    ) -> Mapping[RecordId, GridError]:
        """At start: adopt what of `keep` still runs, restart the rest, remove everything else.

        Returns:
            Those that could not be brought back, and why.
        """
        ...


class Pausing(Protocol):
    """A machine that can keep workloads without running them."""

    async def pause(self, reservation: RecordId) -> None:
        """Stop them and keep their data; may be repeated."""
        ...


class Flists(Protocol):
    """Where images come from."""

    async def is_reachable(self, flist: FlistId) -> bool:
        """Whether it is here, or some node says that it holds all of it."""
        ...


class ContainerExit(Protocol):
    """A container ended and will not be started again."""

    @property
    def reservation(self) -> RecordId:
        """Whose container it was."""
        ...

    @property
    def name(self) -> str:
        """Its name in the reservation."""
        ...

    @property
    def exit_code(self) -> int | None:
        """None when nobody saw it end."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """All that a node runs workloads with."""

    workloads: Workloads
    exits: AsyncIterable[ContainerExit]
    flists: Flists
    pausing: Pausing | None = None
    """None: nothing is kept after the end, and requests for grace are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostParts:
    """All that the node's side of reservations needs, besides the network."""

    store: Store
    ledger: HostLedger
    machine: Machine
    key: SigningKey
    network_id: NetworkId
    offer: Callable[[], Offer | None]
    """What the node offers now; None: nothing, for example without a farm."""
    now_ms: Callable[[], TimestampMs]

    @property
    def node(self) -> NodeId:
        """The node that these parts belong to."""
        return NodeId(bytes(self.key.verify_key))
