"""Properties of the reservation state machine, over all orders of events."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.model.accrual import accrued
from p2pgrid.model.ids import RecordId
from p2pgrid.model.reservation import Phase
from p2pgrid.reservation.lifecycle import (
    OVER,
    Cancelled,
    Deploy,
    Deployed,
    Effect,
    Event,
    Exited,
    Failed,
    Funded,
    Pause,
    Reservation,
    Settle,
    Settled,
    TearDown,
    Tick,
    TornDown,
    status_of,
    step,
    todo,
)
from p2pgrid.units import SECOND_MS, Amount, TimestampMs
from p2pgrid.wire.codec import decode, encode
from tests.reservation.samples import NODE, PRICE, container, request_of, reservation_of

ESCROW = RecordId(b"e" * 32)
STARTS_MS, DURATION_SECONDS, GRACE_SECONDS = 100_000, 60, 30
ENDS_MS = STARTS_MS + DURATION_SECONDS * SECOND_MS
LATEST_MS = ENDS_MS + 2 * GRACE_SECONDS * SECOND_MS


def quoted(*, grace_seconds: int = 0, containers: int = 1) -> Reservation:
    request = request_of(
        starts_at_ms=STARTS_MS,
        duration_seconds=DURATION_SECONDS,
        grace_seconds=grace_seconds,
        workloads=[container(f"c{number}") for number in range(containers)],
    )
    return reservation_of(request, held_until_ms=60_000)


times = st.integers(0, LATEST_MS).map(TimestampMs)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Funded, st.sampled_from([ESCROW, RecordId(b"x" * 32)])),
    st.builds(Cancelled, times),
    st.builds(Exited, st.sampled_from(["c0", "c1"]), st.integers(0, 255)),
    st.builds(Settled, st.integers(0, 1000).map(Amount)),
    st.sampled_from([Deployed(("fd00::1",)), Failed("no kernel"), TornDown(), Tick(), Tick()]),
)
History = list[tuple[TimestampMs, Event]]
histories = st.lists(st.tuples(times, events), max_size=30).map(
    lambda history: sorted(history, key=lambda timed: timed[0])
)
starts = st.sampled_from([quoted(), quoted(grace_seconds=GRACE_SECONDS), quoted(containers=2)])


def live(start: Reservation, history: History) -> tuple[list[Reservation], list[Effect]]:
    """Run a whole life; return every state it went through and every effect."""
    states = [start]
    effects: list[Effect] = []
    for now_ms, event in history:
        state, wanted = step(states[-1], event, now_ms)
        states.append(state)
        effects.extend(wanted)
    return states, effects


def finish(state: Reservation) -> Reservation:
    """Do everything that is to be done, at the latest time, until nothing is."""
    for _ in range(10):
        for effect in todo(state):
            match effect:
                case Deploy():
                    state, _ = step(state, Failed("too late"), TimestampMs(LATEST_MS))
                case TearDown():
                    state, _ = step(state, TornDown(), TimestampMs(LATEST_MS))
                case Settle(to_farm):
                    state, _ = step(state, Settled(to_farm), TimestampMs(LATEST_MS))
                case Pause():
                    pass
        state, _ = step(state, Tick(), TimestampMs(LATEST_MS))
    return state


@given(starts, histories)
def test_phases_only_go_forward(start: Reservation, history: History) -> None:
    states, _ = live(start, history)
    phases = [state.phase for state in states]

    assert phases == sorted(phases)


@given(starts, histories)
def test_deploys_at_most_once_and_only_when_paid(start: Reservation, history: History) -> None:
    states, effects = live(start, history)

    assert effects.count(Deploy()) <= int(states[-1].escrow is not None)


@given(starts, histories)
def test_whatever_is_deployed_is_torn_down_by_its_end(start: Reservation, history: History) -> None:
    states, effects = live(start, history)
    for state in states:
        if state.phase in (Phase.ENDED, Phase.FAILED):
            assert TearDown() in effects
            assert state.is_torn_down
            assert state.to_farm is not None


@given(starts, histories)
def test_it_always_ends(start: Reservation, history: History) -> None:
    states, _ = live(start, history)

    assert finish(states[-1]).phase in OVER


@given(starts, histories)
def test_who_paid_is_settled_once_and_never_beyond_what_ran(
    start: Reservation, history: History
) -> None:
    states, _ = live(start, history)
    last = finish(states[-1])

    amounts = [state.to_farm for state in [*states, last] if state.to_farm is not None]
    assert len(set(amounts)) <= 1
    assert (last.escrow is None) == (last.to_farm is None) == (last.phase is Phase.EXPIRED)
    for state in states:
        for effect in todo(state):
            if isinstance(effect, Settle):
                bound = accrued(
                    PRICE, start.terms.deposit, start.terms.starts_at_ms, TimestampMs(ENDS_MS)
                )
                assert 0 <= effect.to_farm <= bound


@given(starts, histories)
def test_what_never_ran_costs_nothing(start: Reservation, history: History) -> None:
    states, _ = live(start, history)
    for state in states:
        if state.escrow is not None and state.running_since_ms is None:
            assert state.bill.to_farm == 0
        if state.phase is Phase.FAILED:
            assert state.failure
            assert state.running_since_ms is None


@given(starts, histories, times)
def test_nobody_pays_for_the_time_after_cancelling(
    start: Reservation, history: History, at_ms: TimestampMs
) -> None:
    states, _ = live(start, history)
    state, _ = step(states[-1], Cancelled(at_ms), TimestampMs(LATEST_MS))

    if state.phase is Phase.ENDING and state.to_farm is None:
        terms = state.terms
        assert state.bill.to_farm <= accrued(
            terms.price_per_hour, terms.deposit, terms.starts_at_ms, at_ms
        )


@given(starts, histories)
def test_a_tick_on_time_is_not_wanted_again(start: Reservation, history: History) -> None:
    """Otherwise the shell would spin: wake up, change nothing, wake up."""
    states, _ = live(start, history)
    for state in states:
        if state.wake_at is not None:
            after, _ = step(state, Tick(), state.wake_at)
            assert after.wake_at is None or after.wake_at > state.wake_at


@given(starts, histories)
def test_a_restart_at_any_moment_redoes_what_was_under_way(
    start: Reservation, history: History
) -> None:
    """Losing the effects of the last step loses nothing, since `todo` has them."""
    states, _ = live(start, history)
    for (now_ms, event), before in zip(history, states, strict=False):
        after, wanted = step(before, event, now_ms)
        assert set(wanted) <= set(todo(after))
        assert set(todo(after)) <= set(wanted) | set(todo(before))


@given(starts, histories)
def test_every_state_is_stored_as_it_is(start: Reservation, history: History) -> None:
    states, _ = live(start, history)

    assert decode(Reservation, encode(states[-1])) == states[-1]


@given(starts, histories)
def test_capacity_is_held_until_it_is_torn_down(start: Reservation, history: History) -> None:
    states, _ = live(start, history)
    for state in states:
        is_free = state.phase is Phase.EXPIRED or state.is_torn_down
        assert (state.occupies == start.request.needs) != is_free


def run_until(*history: tuple[int, Event], start: Reservation | None = None) -> Reservation:
    timed: History = [(TimestampMs(at_ms), event) for at_ms, event in history]
    return live(quoted() if start is None else start, timed)[0][-1]


def test_it_waits_for_its_start_once_paid() -> None:
    funded = run_until((50_000, Funded(ESCROW)))

    assert funded.phase is Phase.FUNDED
    assert step(funded, Tick(), funded.terms.starts_at_ms)[1] == (Deploy(),)


def test_paid_in_the_middle_of_its_time_it_starts_at_once() -> None:
    assert run_until((STARTS_MS + 5, Funded(ESCROW))).phase is Phase.DEPLOYING


def test_paid_after_its_time_it_is_refunded() -> None:
    state = run_until((ENDS_MS, Funded(ESCROW)))

    assert state.phase is Phase.ENDING
    assert Settle(Amount(0)) in todo(state)


def test_only_the_running_time_is_paid() -> None:
    state = run_until(
        (STARTS_MS, Funded(ESCROW)),
        (STARTS_MS + 1000, Deployed(())),
        (STARTS_MS + 3500, Cancelled(TimestampMs(STARTS_MS + 3000))),
    )

    assert todo(state) == (TearDown(), Settle(Amount(2000)))


def test_a_whole_term_costs_the_running_time() -> None:
    state = run_until((STARTS_MS, Funded(ESCROW)), (STARTS_MS, Deployed(())), (ENDS_MS + 7, Tick()))

    assert state.bill.to_farm == state.terms.deposit == DURATION_SECONDS * 1000


def test_an_earlier_cancellation_seen_while_ending_lowers_the_bill() -> None:
    ending = run_until((STARTS_MS, Funded(ESCROW)), (STARTS_MS, Deployed(())), (ENDS_MS, Tick()))

    after, effects = step(ending, Cancelled(TimestampMs(STARTS_MS + 10)), TimestampMs(ENDS_MS))

    assert effects == (Settle(Amount(10)),)
    assert after.phase is Phase.ENDING


def test_what_a_restart_lost_is_paid_for_the_time_it_ran() -> None:
    running = run_until((STARTS_MS, Funded(ESCROW)), (STARTS_MS, Deployed(())))

    after, effects = step(running, Failed("image gone"), TimestampMs(STARTS_MS + 500))

    assert effects == (TearDown(), Settle(Amount(500)))
    assert finish(after).phase is Phase.ENDED


def test_grace_keeps_the_state_but_not_the_money_waiting() -> None:
    start = quoted(grace_seconds=GRACE_SECONDS)
    paused = run_until(
        (STARTS_MS, Funded(ESCROW)),
        (STARTS_MS, Deployed(())),
        (ENDS_MS, Tick()),
        start=start,
    )

    assert paused.phase is Phase.PAUSED
    assert todo(paused) == (Pause(), Settle(start.terms.deposit))
    after, effects = step(paused, Tick(), TimestampMs(ENDS_MS + GRACE_SECONDS * SECOND_MS))
    assert after.phase is Phase.ENDING
    assert effects == (TearDown(),)


def test_the_last_container_s_exit_ends_it() -> None:
    running = run_until(
        (STARTS_MS, Funded(ESCROW)), (STARTS_MS, Deployed(())), start=quoted(containers=2)
    )

    one, _ = step(running, Exited("c1", 0), TimestampMs(STARTS_MS + 10))
    both, _ = step(one, Exited("c0", 3), TimestampMs(STARTS_MS + 20))

    assert (one.phase, one.exit_code) == (Phase.RUNNING, None)
    assert (both.phase, both.exit_code) == (Phase.ENDING, 3)
    assert both.bill.to_farm == 20


def test_an_exit_that_overtakes_the_news_of_the_start_counts() -> None:
    state = run_until(
        (STARTS_MS, Funded(ESCROW)), (STARTS_MS + 1, Exited("c0", 1)), (STARTS_MS + 2, Deployed(()))
    )

    assert (state.phase, state.exit_code) == (Phase.ENDING, 1)


@pytest.mark.parametrize("phase", [Phase.FUNDED, Phase.DEPLOYING, Phase.RUNNING])
def test_it_does_not_go_on_without_its_money(phase: Phase) -> None:
    """Somebody else closed the escrow: the consumer reclaimed it, or both agreed on a split."""
    state = replace(quoted(), phase=phase, escrow=ESCROW)

    after, effects = step(state, Settled(Amount(5)), TimestampMs(STARTS_MS))

    assert (after.phase, after.to_farm) == (Phase.ENDING, 5)
    assert effects == (TearDown(),)


def test_the_reason_of_a_failure_reaches_the_consumer() -> None:
    state = run_until((STARTS_MS, Funded(ESCROW)), (STARTS_MS + 5, Failed("no such image")))

    assert status_of(state, NODE, TimestampMs(0)).detail == "no such image"
    assert finish(state).phase is Phase.FAILED
