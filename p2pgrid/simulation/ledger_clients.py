"""Clients of a simulated ledger: who pays, rents and settles, and who cheats."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from p2pgrid.ledger.rules import close_message
from p2pgrid.limits import simulated_ledger as limits
from p2pgrid.limits.ledger import RECLAIM_DELAY_MS
from p2pgrid.model.ids import RecordId
from p2pgrid.model.operation import (
    NO_PREVIOUS,
    CancelEscrow,
    CloseEscrow,
    CloseTerms,
    OpenEscrow,
    Operation,
    Payload,
    ReclaimEscrow,
    SettleEscrow,
    Transfer,
)
from p2pgrid.simulation.ledger_cast import (
    ACCOMPLICE,
    ACCOUNTS,
    CONSUMERS,
    CREATED_MS,
    FARM_NODE,
    SPENDER,
    account_of,
    key_of,
    node_of,
)
from p2pgrid.units import HOUR_MS, SECOND_MS, Amount, TimestampMs
from p2pgrid.wire.signed import Signed, sign, sign_message

if TYPE_CHECKING:
    from p2pgrid.simulation.ledger_grid import LedgerGrid


class Client:
    """Signs one operation after the other, each when the one before is certified."""

    def __init__(self, grid: "LedgerGrid", name: str) -> None:
        self.grid, self.name = grid, name
        self.account = account_of(name)
        self.done: list[RecordId] = []
        self.escrow: RecordId | None = None
        """The last that it opened."""
        self.pending: list[Signed[Operation]] = []
        """What it wants certified: one operation, unless it cheats."""

    @property
    def wanted(self) -> int:
        """Operations that it must get certified before the run is over."""
        return 0

    @property
    def is_done(self) -> bool:
        """Whether all that it wanted is certified."""
        return len(self.done) >= self.wanted

    def act(self) -> None:
        """Sign what is next, when nothing is pending; send what is pending to any node."""
        if not self.pending:
            self.pending = [self.sign(payload) for payload in self.next_payloads()]
        for signed in self.pending:
            self.grid.send(self.grid.submit, self.grid.any_node().id, signed, self.hear)
        self.grid.scheduler.after(self.grid.random.uniform(*self.grid.times.pause), self.act)

    def next_payloads(self) -> Sequence[Payload]:
        """What to do next: nothing, or one thing; a cheat does several at once."""
        return ()

    def sign(self, payload: Payload) -> Signed[Operation]:
        """An operation for the next place."""
        is_closing = isinstance(payload, SettleEscrow | CloseEscrow)
        operation = Operation(
            account=self.account,
            sequence=len(self.done),
            previous=self.done[-1] if self.done else NO_PREVIOUS,
            time_ms=TimestampMs(CREATED_MS + round(self.grid.scheduler.now * SECOND_MS)),
            fee=Amount(0 if is_closing else limits.FEE),
            payload=payload,
        )
        signed = sign(operation, key_of(self.name), self.grid.network)
        self.grid.note_signed(signed)
        return signed

    def hear(self, identity: RecordId) -> None:
        """A node says that an operation is certified."""
        self.grid.told[identity] = self.account
        for signed in self.pending:
            if signed.id == identity:
                if isinstance(signed.record.payload, OpenEscrow):
                    self.escrow = identity
                self.done.append(identity)
                self.pending = []
                return

    def payment(self, outputs: int = 1) -> Transfer:
        """To random accounts, a small part of what it has."""
        random = self.grid.random
        most = limits.START // limits.PAYMENTS_PER_BALANCE // outputs - limits.FEE
        return Transfer(
            outputs=tuple(
                (account_of(random.choice(ACCOUNTS)), Amount(random.randint(1, most)))
                for _ in range(outputs)
            )
        )


def lease(node: str, farm: str, hours_ago: int) -> OpenEscrow:
    """An escrow of one hour that began so long ago."""
    starts_at_ms = CREATED_MS - hours_ago * HOUR_MS
    return OpenEscrow(
        farm=account_of(farm),
        node=node_of(node),
        deposit=Amount(limits.START // limits.PAYMENTS_PER_BALANCE),
        price_per_hour=Amount(limits.START // limits.PAYMENTS_PER_BALANCE // 2),
        starts_at_ms=TimestampMs(starts_at_ms),
        ends_at_ms=TimestampMs(starts_at_ms + HOUR_MS),
        grace_seconds=0,
        terms_hash=bytes(32),
    )


class Consumer(Client):
    """Pays others; rents the honest node now and then, and cancels."""

    @property
    def wanted(self) -> int:
        """As many as the run needs to have load all the time."""
        return self.grid.times.operations_each

    def next_payloads(self) -> Sequence[Payload]:
        """One payment, lease or cancel."""
        if self.is_done:
            return ()
        draw = self.grid.random.random()
        if self.escrow is None and draw < 0.3:
            return (lease(FARM_NODE, CONSUMERS[0], hours_ago=2),)
        if self.escrow is not None and draw < 0.3:
            return (CancelEscrow(escrow=self.escrow),)
        return (self.payment(outputs=self.grid.random.randint(1, 3)),)


class FarmNode(Client):
    """Settles what others rented from it, one lease after the other."""

    def __init__(self, grid: "LedgerGrid", name: str) -> None:
        super().__init__(grid, name)
        self._settled: set[RecordId] = set()
        """The node that it asks may be behind; to settle twice would be to sign twice."""

    def next_payloads(self) -> Sequence[Payload]:
        """A settlement, when there is a lease to settle by what a node knows."""
        for escrow in self.grid.any_node().archive.state.escrows().values():
            if escrow.terms.node == node_of(self.name) and escrow.id not in self._settled:
                self._settled.add(escrow.id)
                to_farm = self.grid.random.randint(0, escrow.terms.price_per_hour)
                return (
                    SettleEscrow(escrow=escrow.id, to_farm=Amount(to_farm), evidence=bytes(32)),
                )
        return ()


class Spender(Client):
    """Spends twice, and more than it has, through several nodes and with the coalition."""

    def next_payloads(self) -> Sequence[Payload]:
        """Two payments for one place, or one that it cannot pay, or a lease to cheat with."""
        draw = self.grid.random.random()
        if draw < 0.2:
            everything = Transfer(outputs=((account_of("bob"), Amount(2 * limits.START)),))
            return (everything,)
        if draw < 0.4:
            hours_ago = 2 + RECLAIM_DELAY_MS // HOUR_MS
            return (lease(ACCOMPLICE, ACCOMPLICE, hours_ago),)
        return (self.payment(), self.payment())

    def attack(self) -> None:
        """Let the coalition try two operations: of this account, or two ends of one escrow."""
        if self.escrow is not None and self.grid.random.random() < 0.5:
            accomplice = self.grid.clients[ACCOMPLICE]
            ends = self._ends(self.escrow, accomplice)
            self.grid.coalition.attack(*ends)
            accomplice.pending = [ends[1]]
        else:
            self.grid.coalition.attack(self.sign(self.payment()), self.sign(self.payment()))

    def _ends(
        self, escrow: RecordId, accomplice: Client
    ) -> tuple[Signed[Operation], Signed[Operation]]:
        """Two ends of one escrow, by two accounts: no account signs twice for one place."""
        end: Payload = ReclaimEscrow(escrow=escrow)
        if self.grid.random.random() < 0.5:
            end = self._agreed(escrow, 1, party=ACCOMPLICE)
        return self.sign(end), accomplice.sign(self._agreed(escrow, 2, party=SPENDER))

    def _agreed(self, escrow: RecordId, to_farm: int, *, party: str) -> CloseEscrow:
        """A closing to which the other side agrees; both agree to everything."""
        terms = CloseTerms(escrow=escrow, to_farm=Amount(to_farm), party=account_of(party))
        message = close_message(terms, self.grid.network)
        return CloseEscrow(
            escrow=escrow,
            to_farm=Amount(to_farm),
            other_signature=sign_message(message, key_of(party)),
        )


def clients_of(grid: "LedgerGrid") -> dict[str, Client]:
    """All clients of one run, by name."""
    honest = {name: Consumer(grid, name) for name in CONSUMERS}
    return {
        **honest,
        FARM_NODE: FarmNode(grid, FARM_NODE),
        SPENDER: Spender(grid, SPENDER),
        ACCOMPLICE: Client(grid, ACCOMPLICE),
    }
