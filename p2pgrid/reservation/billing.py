"""Bills: what a reservation cost, and for which time. The node's settlement names their hash."""

from dataclasses import dataclass
from hashlib import blake2b

from p2pgrid.model.ids import ID_BYTES, RecordId
from p2pgrid.units import Amount, TimestampMs
from p2pgrid.wire.codec import encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """A settlement's reason: a pure function of the reservation and the time it ran."""

    reservation: RecordId
    escrow: RecordId
    from_ms: TimestampMs
    until_ms: TimestampMs
    """Equal to `from_ms` when nothing is due."""
    price_per_hour: Amount
    to_farm: Amount

    @property
    def evidence(self) -> bytes:
        """What a SettleEscrow names, 32 bytes."""
        return blake2b(encode(self), digest_size=ID_BYTES, person=b"p2pgrid.bill").digest()
