"""Admission: what a node cannot or will not serve is refused, and it never sells room twice."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import InsufficientBalance, Refused
from p2pgrid.limits.ledger import GRACE_SECONDS_MAX
from p2pgrid.limits.reservation import (
    QUOTES_MAX,
    QUOTES_PER_CONSUMER_MAX,
    REQUEST_AHEAD_SECONDS_MAX,
    REQUEST_BEHIND_SECONDS_MAX,
)
from p2pgrid.model.ids import AccountId, NodeId
from p2pgrid.model.reservation import Phase, ReservationRequest, Signer
from p2pgrid.model.workload import Volume
from p2pgrid.reservation.admission import (
    check_funds,
    check_request,
    check_room,
    check_share,
    is_large,
    occupied,
    quote_for,
)
from p2pgrid.reservation.lifecycle import Reservation
from p2pgrid.reservation.pricing import deposit_for, price_per_hour
from p2pgrid.units import GIB, TimestampMs
from tests.reservation.samples import (
    CONSUMER,
    FARM,
    NODE,
    PAYOUT,
    container,
    request_of,
    reservation_of,
)
from tests.reservation.world import OFFER

NOW = TimestampMs(10_000_000)
REQUEST = request_of(starts_at_ms=NOW).record


def altered(**changes: object) -> ReservationRequest:
    return replace(REQUEST, **changes)  # type: ignore[arg-type] # fields of each case below


def test_a_good_request_is_taken() -> None:
    check_request(REQUEST, NODE, OFFER, NOW, can_pause=False)
    check_room(REQUEST, OFFER, [])

    quote = quote_for(REQUEST, request_of(starts_at_ms=NOW).id, OFFER, NOW)

    price = price_per_hour(REQUEST.needs, OFFER.pricing, OFFER.price_permille)
    assert (quote.farm, quote.payout) == (FARM, PAYOUT)
    assert (quote.price_per_hour, quote.deposit) == (price, deposit_for(price, 3600))
    assert quote.valid_until_ms == NOW + 60_000


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (altered(node=NodeId(b"x" * 32)), "another node"),
        (altered(valid_until_ms=NOW), "time is over"),
        (altered(workloads=(Volume(name="v", size_bytes=GIB),)), "offers no volume"),
        (altered(signers=(Signer(key=CONSUMER, weight=1, is_required=True),)), "several signers"),
        (altered(weight_needed=1), "several signers"),
        (altered(grace_seconds=60), "leave `grace` out of the document"),
        (
            altered(starts_at_ms=TimestampMs(NOW + REQUEST_AHEAD_SECONDS_MAX * 1000 + 1)),
            "minutes ahead; check the clock",
        ),
        (
            altered(starts_at_ms=TimestampMs(NOW - REQUEST_BEHIND_SECONDS_MAX * 1000 - 1)),
            "minutes ago; check the clock",
        ),
        (
            altered(starts_at_ms=TimestampMs(NOW - 60_000), duration_seconds=60),
            "over before it starts",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(request_: ReservationRequest, message: str) -> None:
    with pytest.raises(Refused, match=message):
        check_request(request_, NODE, OFFER, NOW, can_pause=False)


def test_grace_is_given_where_workloads_can_be_paused_but_not_for_ever() -> None:
    check_request(altered(grace_seconds=60), NODE, OFFER, NOW, can_pause=True)

    with pytest.raises(Refused, match="at most 30 days"):
        check_request(
            altered(grace_seconds=GRACE_SECONDS_MAX + 1), NODE, OFFER, NOW, can_pause=True
        )


@given(st.lists(st.integers(1, 4), max_size=8))
def test_room_is_never_sold_twice(cores: list[int]) -> None:
    taken: list[Reservation] = []
    for number, count in enumerate(cores):
        request = request_of(workloads=[container(cores=count)], nonce=number.to_bytes(16, "big"))
        try:
            check_room(request.record, OFFER, taken)
        except Refused:
            continue
        taken.append(replace(reservation_of(request, 0), phase=Phase.RUNNING))

    assert occupied(taken).fits_in(OFFER.capacity)


def test_a_refusal_says_what_would_fit() -> None:
    request = request_of(workloads=[container(cores=3)])
    taken = replace(reservation_of(request, 0), phase=Phase.RUNNING)

    with pytest.raises(Refused, match="this node has only 1 cores left"):
        check_room(request.record, OFFER, [taken])


def test_quotes_of_one_consumer_and_of_all_are_bounded() -> None:
    def quoted(number: int, consumer: bytes) -> Reservation:
        small = replace(container(), millicores=10, memory_bytes=8 << 20, root_bytes=1 << 20)
        reservation = reservation_of(
            request_of(workloads=[small], nonce=number.to_bytes(16, "big")), 0
        )
        asked = replace(reservation.request, consumer=AccountId(consumer))
        return replace(reservation, request=asked)

    own = [quoted(number, CONSUMER) for number in range(QUOTES_PER_CONSUMER_MAX)]
    others = [quoted(number, number.to_bytes(32, "big")) for number in range(QUOTES_MAX)]
    room = replace(OFFER, capacity=OFFER.capacity + OFFER.capacity)
    check_room(REQUEST, room, own[1:])

    for quotes in (own, others):
        with pytest.raises(Refused, match="too many quotes"):
            check_room(REQUEST, room, quotes)


@pytest.mark.parametrize("behind_ms", [-REQUEST_AHEAD_SECONDS_MAX, 0, REQUEST_BEHIND_SECONDS_MAX])
def test_clocks_may_differ_by_minutes(behind_ms: int) -> None:
    started = altered(starts_at_ms=TimestampMs(NOW - behind_ms * 1000))
    check_request(started, NODE, OFFER, NOW, can_pause=False)
    assert started.starts_at_ms != NOW or not behind_ms


def test_a_balance_covers_deposit_fee_and_the_other_open_quotes_here() -> None:
    price = price_per_hour(REQUEST.needs, OFFER.pricing, OFFER.price_permille)
    cost = deposit_for(price, REQUEST.duration_seconds) + OFFER.pricing.fee
    quote = reservation_of(request_of(nonce=b"another of mine!"), 0)
    promised = quote.terms.deposit + OFFER.pricing.fee
    stranger = replace(
        quote,
        request=replace(quote.request, consumer=AccountId(b"x" * 32)),
    )
    paid = replace(quote, phase=Phase.RUNNING)

    check_funds(REQUEST, OFFER, [stranger, paid], cost)
    check_funds(REQUEST, OFFER, [quote], cost + promised)
    with pytest.raises(InsufficientBalance, match="deposit and fee; as far as this node knows"):
        check_funds(REQUEST, OFFER, [], cost - 1)
    with pytest.raises(InsufficientBalance, match="for 1 open quotes"):
        check_funds(REQUEST, OFFER, [quote], cost + promised - 1)


def quotes_of(cores: list[int]) -> list[Reservation]:
    return [
        reservation_of(
            request_of(workloads=[container(cores=count)], nonce=number.to_bytes(16, "big")), 0
        )
        for number, count in enumerate(cores)
    ]


@given(st.lists(st.integers(1, 4), max_size=12))
def test_unpaid_quotes_hold_half_of_the_node_and_one_large_one(cores: list[int]) -> None:
    held: list[Reservation] = []
    for quote in quotes_of(cores):
        try:
            check_share(quote.request, OFFER, held, 0)
        except Refused:
            continue
        held.append(quote)

    large = [one for one in held if is_large(one.request, OFFER)]
    small = [one for one in held if one not in large]
    assert len(large) <= 1
    assert 2 * occupied(small).millicores <= OFFER.capacity.millicores


def test_what_is_paid_does_not_count_as_held_for_nothing() -> None:
    one, other, third = quotes_of([1, 2, 1])
    with pytest.raises(Refused, match="ask in a minute"):
        check_share(third.request, OFFER, [one, other], 0)

    paid = replace(other, phase=Phase.RUNNING)
    check_share(third.request, OFFER, [one, paid], 0)
    assert not is_large(third.request, OFFER)


def test_large_quotes_come_one_by_one_with_pauses() -> None:
    small, large = quotes_of([1, 3])
    check_share(large.request, OFFER, [small], 0)
    check_share(small.request, OFFER, [large], 1_000)

    with pytest.raises(Refused, match="waits to be paid already"):
        check_share(large.request, OFFER, [large], 0)
    with pytest.raises(Refused, match="ask in 2 seconds, or for less"):
        check_share(large.request, OFFER, [small], 1_001)
