"""Records that the tests of this folder share: a consumer, a node, and what they agreed on."""

from collections.abc import Sequence

from nacl.signing import SigningKey

from p2pgrid.model.ids import AccountId, FarmId, FlistId, NetworkId, NodeId
from p2pgrid.model.reservation import Quote, ReservationRequest
from p2pgrid.model.workload import Container, Workload
from p2pgrid.reservation.lifecycle import Reservation
from p2pgrid.reservation.pricing import deposit_for
from p2pgrid.reservation.terms import escrow_terms
from p2pgrid.units import GIB, SECOND_MS, Amount, TimestampMs
from p2pgrid.wire.signed import Signed, sign

NETWORK = NetworkId(b"grid of our test")
CONSUMER_KEY = SigningKey(b"c" * 32)
NODE_KEY = SigningKey(b"n" * 32)
CONSUMER = AccountId(bytes(CONSUMER_KEY.verify_key))
NODE = NodeId(bytes(NODE_KEY.verify_key))
FARM = FarmId(bytes(SigningKey(b"f" * 32).verify_key))
PAYOUT = AccountId(bytes(SigningKey(b"p" * 32).verify_key))
FLIST = FlistId(b"i" * 32)
PRICE = Amount(3_600_000)
"""An hour; so 1000 a second, 1 a millisecond."""


def container(name: str = "web", *, cores: int = 1) -> Container:
    return Container(
        name=name, flist=FLIST, millicores=1000 * cores, memory_bytes=GIB, root_bytes=GIB
    )


def request_of(
    *,
    starts_at_ms: int = 0,
    duration_seconds: int = 3600,
    grace_seconds: int = 0,
    workloads: Sequence[Workload] = (container(),),
    nonce: bytes = bytes(16),
) -> Signed[ReservationRequest]:
    record = ReservationRequest(
        consumer=CONSUMER,
        node=NODE,
        nonce=nonce,
        valid_until_ms=TimestampMs(starts_at_ms + 60 * SECOND_MS),
        starts_at_ms=TimestampMs(starts_at_ms),
        duration_seconds=duration_seconds,
        grace_seconds=grace_seconds,
        workloads=tuple(workloads),
    )
    return sign(record, CONSUMER_KEY, NETWORK)


def quote_of(
    request: Signed[ReservationRequest],
    *,
    price: Amount = PRICE,
    valid_until_ms: int = 60 * SECOND_MS,
) -> Signed[Quote]:
    record = Quote(
        node=NODE,
        farm=FARM,
        payout=PAYOUT,
        request=request.id,
        price_per_hour=price,
        deposit=deposit_for(price, request.record.duration_seconds),
        valid_until_ms=TimestampMs(valid_until_ms),
    )
    return sign(record, NODE_KEY, NETWORK)


def reservation_of(request: Signed[ReservationRequest], held_until_ms: int) -> Reservation:
    quote = quote_of(request)
    return Reservation(
        id=request.id,
        request=request.record,
        quote_envelope=quote.envelope,
        terms=escrow_terms(request, quote),
        held_until_ms=TimestampMs(held_until_ms),
    )
