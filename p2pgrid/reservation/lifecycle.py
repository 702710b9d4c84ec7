"""The life of one reservation on its node, as a pure state machine.

    QUOTED ──Funded──▶ FUNDED ──starts──▶ DEPLOYING ──Deployed──▶ RUNNING ──ends──▶ PAUSED
       │                  │                   │                      │     (grace)     │
       │ Tick, Cancelled  │ Cancelled,        │ Failed, Cancelled,   │ Failed, Exited, │ Tick,
       ▼                  │ Settled           │ Settled, ends        │ Cancelled,      │ Failed,
    EXPIRED               ▼                   ▼                      ▼ Settled, ends   ▼ Cancelled
                       ENDING ◀──────────────────────────────────────────────────────────
                          │
                          │ TornDown and Settled, in any order
                          ▼
                   ENDED, or FAILED when it never ran and everything was given back

No clock, network or disk in here: time comes in with each event, and what is
to be done goes out as effects. The caller stores the new state before it
performs the effects, and performs `todo(state)` again after a restart; so each
effect must be safe to perform twice, and none is ever forgotten.

The farm is paid for the time that the workloads ran, until the first of: the
end, the cancellation, the exit of the last container. What could not be
started costs nothing.
"""

from dataclasses import dataclass, replace

from p2pgrid.model.accrual import accrued
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import NodeId, RecordId, one_line
from p2pgrid.model.operation import OpenEscrow
from p2pgrid.model.reservation import DETAIL_BYTES_MAX, Phase, ReservationRequest, Status
from p2pgrid.model.workload import Container
from p2pgrid.reservation.billing import Bill
from p2pgrid.units import SECOND_MS, Amount, TimestampMs

OVER = frozenset({Phase.ENDED, Phase.EXPIRED, Phase.FAILED})
"""Phases that nothing follows."""

PAID_FOR = frozenset({Phase.FUNDED, Phase.DEPLOYING, Phase.RUNNING, Phase.PAUSED, Phase.ENDING})
"""Phases in which an escrow is ours to settle."""

_WANTED = frozenset({Phase.FUNDED, Phase.DEPLOYING, Phase.RUNNING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """State of one reservation, as a node stores it."""

    id: RecordId
    """Of the request."""
    request: ReservationRequest
    quote_envelope: bytes
    """What was answered, and is answered again when the same request comes again."""
    terms: OpenEscrow
    """What the consumer must pay, to the letter."""
    held_until_ms: TimestampMs
    """In QUOTED: until when the capacity is held."""
    phase: Phase = Phase.QUOTED
    escrow: RecordId | None = None
    running_since_ms: TimestampMs | None = None
    stopped_ms: TimestampMs | None = None
    """Until when the farm is paid, once that is known."""
    addresses: tuple[str, ...] = ()
    exits: tuple[tuple[str, int], ...] = ()
    """(name, exit code) of containers that will not run again."""
    failure: str = ""
    """Why it never ran, and then nothing is due; or why it does not run any more."""
    is_torn_down: bool = False
    to_farm: Amount | None = None
    """What the farm got; None until a certificate says so."""
    ended_ms: TimestampMs | None = None

    @property
    def wake_at(self) -> TimestampMs | None:
        """When the next Tick is due; None if waiting for something else."""
        match self.phase:
            case Phase.QUOTED:
                return self.held_until_ms
            case Phase.FUNDED:
                return self.terms.starts_at_ms
            case Phase.DEPLOYING | Phase.RUNNING:
                return self.terms.ends_at_ms
            case Phase.PAUSED:
                return TimestampMs(self.terms.ends_at_ms + self.terms.grace_seconds * SECOND_MS)
            case _:
                return None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to happen."""
        return self.phase in OVER

    @property
    def occupies(self) -> Capacity:
        """What it takes from the node now, a quote's hold included."""
        return Capacity() if self.is_over or self.is_torn_down else self.request.needs

    @property
    def bill(self) -> Bill:
        """What is due to the farm. The escrow must be known."""
        assert self.escrow is not None, "nothing is due without a deposit"
        start, stop = self.terms.starts_at_ms, self.terms.starts_at_ms
        if self.running_since_ms is not None and self.stopped_ms is not None:
            start = max(start, self.running_since_ms)
            stop = max(start, min(self.stopped_ms, self.terms.ends_at_ms))
        return Bill(
            reservation=self.id,
            escrow=self.escrow,
            from_ms=start,
            until_ms=stop,
            price_per_hour=self.terms.price_per_hour,
            to_farm=accrued(self.terms.price_per_hour, self.terms.deposit, start, stop),
        )

    @property
    def exit_code(self) -> int | None:
        """None while a container runs; else the first that is not 0, if any."""
        names = {workload.name for workload in self.request.workloads if _is_container(workload)}
        if not names or names - {name for name, _ in self.exits}:
            return None
        return next((code for _, code in self.exits if code != 0), 0)


# --- events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Funded:
    """The ledger shows a certified escrow with exactly our terms."""

    escrow: RecordId


@dataclass(frozen=True, slots=True)
class Deployed:
    """The workloads are up, at these IPv6 addresses."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """The workloads could not be started, or not again after the node's restart."""

    reason: str


@dataclass(frozen=True, slots=True)
class Exited:
    """A container ended and will not be started again."""

    name: str
    code: int


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The consumer gave it up, at `at_ms` by the ledger or by its signed word."""

    at_ms: TimestampMs


@dataclass(frozen=True, slots=True)
class TornDown:
    """Nothing of the workloads is left on this node."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The ledger shows the escrow closed, by whomever, with this much for the farm."""

    to_farm: Amount


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed. Due at `Reservation.wake_at`, harmless at any other time."""


Event = Funded | Deployed | Failed | Exited | Cancelled | TornDown | Settled | Tick


# --- effects --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deploy:
    """Start the workloads; answer with Deployed or Failed."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop the workloads and keep their state."""


@dataclass(frozen=True, slots=True)
class TearDown:
    """Remove the workloads, however far they got; answer with TornDown."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Close the escrow on the ledger with this much for the farm; answer with Settled."""

    to_farm: Amount


Effect = Deploy | Pause | TearDown | Settle


# --- the machine ----------------------------------------------------------------------------------


def step(
    state: Reservation, event: Event, now_ms: TimestampMs
) -> tuple[Reservation, tuple[Effect, ...]]:
    """Advance a reservation by one event.

    Total: peers and timers may send anything at any time, and an event that
    means nothing in the present phase changes nothing.

    Returns:
        The new state, to be stored first, and the effects to perform then:
        those that were not under way already.
    """
    after = _ended(_advance(state, event, now_ms), now_ms)
    under_way = todo(state)
    return after, tuple(effect for effect in todo(after) if effect not in under_way)


def todo(state: Reservation) -> tuple[Effect, ...]:
    """What a reservation in this state needs done; redone after a restart."""
    effects: list[Effect] = []
    if state.phase is Phase.DEPLOYING:
        effects.append(Deploy())
    if state.phase is Phase.PAUSED:
        effects.append(Pause())
    if state.phase is Phase.ENDING and not state.is_torn_down:
        effects.append(TearDown())
    if state.phase in (Phase.PAUSED, Phase.ENDING) and state.to_farm is None:
        effects.append(Settle(state.bill.to_farm))
    return tuple(effects)


def _advance(state: Reservation, event: Event, now_ms: TimestampMs) -> Reservation:
    match event:
        case Tick():
            return _tick(state, now_ms)
        case Funded(escrow) if state.phase is Phase.QUOTED:
            return _tick(replace(state, phase=Phase.FUNDED, escrow=escrow), now_ms)
        case Deployed(addresses) if state.phase is Phase.DEPLOYING:
            running = replace(
                state, phase=Phase.RUNNING, addresses=addresses, running_since_ms=now_ms
            )
            return _stop_if_exited(running, now_ms)
        case Failed(reason) if state.phase in (Phase.DEPLOYING, Phase.RUNNING, Phase.PAUSED):
            stopped_ms = now_ms if state.stopped_ms is None else state.stopped_ms
            return _stop(replace(state, failure=reason or "no reason given"), stopped_ms)
        case Exited(name, code) if state.phase in (Phase.DEPLOYING, Phase.RUNNING):
            exits = (*((n, c) for n, c in state.exits if n != name), (name, code))
            return _stop_if_exited(replace(state, exits=exits), now_ms)
        case Cancelled(at_ms):
            return _cancel(state, min(at_ms, now_ms))
        case Settled(to_farm) if state.phase in PAID_FOR and state.to_farm is None:
            settled = replace(state, to_farm=to_farm)
            return _stop(settled, now_ms) if state.phase in _WANTED else settled
        case TornDown() if state.phase is Phase.ENDING:
            return replace(state, is_torn_down=True)
        case _:
            return state


def _tick(state: Reservation, now_ms: TimestampMs) -> Reservation:
    """What the time of day alone changes."""
    if state.wake_at is None or now_ms < state.wake_at:
        return state
    terms = state.terms
    match state.phase:
        case Phase.QUOTED:
            return replace(state, phase=Phase.EXPIRED, ended_ms=now_ms)
        case Phase.FUNDED if now_ms < terms.ends_at_ms:
            return replace(state, phase=Phase.DEPLOYING)
        case Phase.FUNDED | Phase.DEPLOYING:
            late = replace(state, failure="its time was over before it could be started")
            return _stop(late, now_ms)
        case Phase.RUNNING if terms.grace_seconds > 0:
            return replace(state, phase=Phase.PAUSED, stopped_ms=terms.ends_at_ms)
        case Phase.RUNNING:
            return _stop(state, terms.ends_at_ms)
        case _:
            return replace(state, phase=Phase.ENDING)


def _stop(state: Reservation, at_ms: TimestampMs) -> Reservation:
    return replace(state, phase=Phase.ENDING, stopped_ms=at_ms)


def _stop_if_exited(state: Reservation, now_ms: TimestampMs) -> Reservation:
    """End once nothing is left that runs; a container that ended early waits for Deployed."""
    if state.phase is Phase.RUNNING and state.exit_code is not None:
        return _stop(state, now_ms)
    return state


def _cancel(state: Reservation, at_ms: TimestampMs) -> Reservation:
    if state.phase is Phase.QUOTED:
        return replace(state, phase=Phase.EXPIRED, ended_ms=at_ms)
    if state.phase not in PAID_FOR:
        return state
    # Also when it is ending already: the ledger may show an earlier time than we knew,
    # and witnesses refuse a settlement beyond it.
    stopped_ms = at_ms if state.stopped_ms is None else min(state.stopped_ms, at_ms)
    return _stop(state, stopped_ms)


def _ended(state: Reservation, now_ms: TimestampMs) -> Reservation:
    if state.phase is Phase.ENDING and state.is_torn_down and state.to_farm is not None:
        never_ran = state.running_since_ms is None
        phase = Phase.FAILED if state.failure and never_ran else Phase.ENDED
        return replace(state, phase=phase, ended_ms=now_ms)
    return state


def _is_container(workload: object) -> bool:
    return isinstance(workload, Container)


def status_of(state: Reservation, node: NodeId, now_ms: TimestampMs, detail: str = "") -> Status:
    """What the node tells the consumer; `detail` is shown when nothing failed."""
    return Status(
        node=node,
        reservation=state.id,
        time_ms=now_ms,
        phase=state.phase,
        addresses=state.addresses,
        detail=one_line(state.failure or detail, bytes_max=DETAIL_BYTES_MAX),
        exit_code=state.exit_code,
    )
