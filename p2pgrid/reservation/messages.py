"""What consumer and node say to each other besides the signed records.

    RESERVATION_REQUEST   signed ReservationRequest   ->  signed Quote
    RESERVATION_FUNDED    FundedNotice                ->  signed Status
    RESERVATION_STATUS    ReservationQuery            ->  signed Status
    RESERVATION_CANCEL    signed Cancellation         ->  signed Status
    RESERVATION_LOGS      LogQuery                    ->  LogAnswer

All may be sent again at any time. The asking peer's id is its authenticated
key, so what is for the consumer alone needs no signature of its own.
"""

from dataclasses import dataclass

from p2pgrid.model.ids import RecordId


@dataclass(frozen=True, slots=True)
class FundedNotice:
    """The consumer opened this escrow for that reservation."""

    reservation: RecordId
    escrow: RecordId


@dataclass(frozen=True, slots=True)
class ReservationQuery:
    """A question how a reservation stands."""

    reservation: RecordId


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A question for what a container wrote after its first `offset` bytes."""

    reservation: RecordId
    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class LogAnswer:
    """Some of a log; ask again from `next_offset` until nothing comes."""

    data: bytes
    next_offset: int
