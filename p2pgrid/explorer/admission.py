"""What becomes of a verified record that is given to a view, and why."""

from dataclasses import dataclass
from enum import Enum

from p2pgrid.crdt.register import RegisterKey


class Refusal(Enum):
    """Why a verified record is not taken. None of these is the forwarder's fault."""

    KNOWN = 1
    OUTDATED = 2
    """There is a newer one."""
    STALE = 3
    """Its lease is over."""
    AHEAD = 4
    """Its time has not come yet."""
    TOO_MANY = 5
    """Its author has as many registers as one may have."""
    CROWDED = 6
    """There is no room for it beside what others of its kind say."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What `View.accept` did."""

    refusal: Refusal | None
    dropped: tuple[RegisterKey, ...] = ()
    """Registers that made room; also when the record itself was refused."""
    contradicted: RegisterKey | None = None
    """The register of which the record proved for the first time that its author lies."""


TAKEN = Admission(None)
"""As mostly: in the place of an older one, without moving any other."""
