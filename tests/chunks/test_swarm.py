"""The transfer ends whenever honest holders can end it, and says so when they cannot."""

import random

import pytest

from p2pgrid.chunks.swarm import Ask, Swarm
from p2pgrid.chunks.wanted import Urgency
from p2pgrid.errors import NotFound, Unreachable
from p2pgrid.limits.chunks import (
    CHUNKS_PER_REQUEST_MAX,
    DUPLICATES_PERMILLE_MAX,
    HOLDER_TRIAL_SECONDS,
    HOLDERS_AT_ONCE_MAX,
    LATE_CHUNK_SECONDS,
    URGENT_LATE_SECONDS,
)
from p2pgrid.model.ids import ChunkId
from tests.chunks.holder_world import CHUNK_BYTES, Peer, Simulation, chunk, node, random_peer

SEEDS = range(300)


@pytest.mark.parametrize("seed", SEEDS)
def test_it_is_done_when_reliable_holders_have_everything_and_gives_up_otherwise(
    seed: int,
) -> None:
    choice = random.Random(seed)
    wanted = [chunk(number) for number in range(choice.choice([1, 3, 20, 200, 600]))]
    peers = {node(number): random_peer(choice, wanted) for number in range(choice.randrange(1, 12))}
    simulation = Simulation(seed, peers, wanted)
    simulation.run()
    reliable = [peer for peer in peers.values() if peer.is_reliable]
    is_possible = all(any(one not in peer.lacks for peer in reliable) for one in wanted)
    if is_possible:
        assert simulation.swarm.is_done, simulation.swarm.failure()
    if simulation.swarm.is_done:
        assert sorted(simulation.stored) == wanted
    else:
        assert "nobody gives chunk" in str(simulation.swarm.failure())
        assert len(set(simulation.stored)) == len(simulation.stored) < len(wanted)


@pytest.mark.parametrize("seed", range(40))
def test_one_fast_holder_is_not_held_up_by_any_company(seed: int) -> None:
    """The rest may be as bad as it likes: the time is that of the fast one, and one timeout."""
    choice = random.Random(seed)
    wanted = [chunk(number) for number in range(500)]
    company = {node(number): random_peer(choice, wanted) for number in range(6)}
    simulation = Simulation(seed, {**company, node(99): Peer(bytes_per_second=50_000.0)}, wanted)
    simulation.run()
    alone_seconds = 500 * CHUNK_BYTES / 50_000.0 * 1.25
    assert simulation.swarm.is_done
    assert simulation.now < alone_seconds + LATE_CHUNK_SECONDS + 5


@pytest.mark.parametrize("seed", range(40))
def test_at_most_a_twentieth_is_asked_twice_unless_it_is_late(seed: int) -> None:
    choice = random.Random(seed)
    wanted = [chunk(number) for number in range(400)]
    speeds = [5_000.0, 50_000.0, 200_000.0]
    peers = {node(number): Peer(bytes_per_second=choice.choice(speeds)) for number in range(5)}
    simulation = Simulation(seed, peers, wanted)
    simulation.run()
    asked_at: dict[ChunkId, float] = {}
    early_repeats = 0
    for _, one, now in simulation.asked:
        early_repeats += one in asked_at and now - asked_at[one] < LATE_CHUNK_SECONDS
        asked_at[one] = now
    assert early_repeats <= len(wanted) * DUPLICATES_PERMILLE_MAX // 1000


def test_three_equal_holders_are_thrice_as_fast() -> None:
    wanted = [chunk(number) for number in range(1000)]
    seconds = []
    for count in (1, 3):
        simulation = Simulation(1, {node(number): Peer() for number in range(count)}, wanted)
        simulation.run()
        seconds.append(simulation.now)
    assert seconds[0] / seconds[1] > 2.7


def test_a_faster_holder_is_asked_for_more_and_several_are_in_flight() -> None:
    swarm = Swarm([chunk(number) for number in range(1000)], [node(1)])
    (first,) = swarm.asks(0.0)
    assert 1 < len(first.chunks) < 20
    swarm.arrived(node(1), dict.fromkeys(first.chunks, CHUNK_BYTES), 0.01)
    (second,) = swarm.asks(0.01)
    swarm.arrived(node(1), dict.fromkeys(second.chunks, CHUNK_BYTES), 0.02)
    (third,) = swarm.asks(0.02)
    assert len(second.chunks) > 50
    assert len(third.chunks) == CHUNKS_PER_REQUEST_MAX
    assert swarm.asks(0.02) == []


def test_without_holders_it_gives_up_at_once_and_with_nothing_wanted_it_is_done() -> None:
    assert isinstance(Swarm([chunk(1)], []).failure(), NotFound)
    assert "no holder is known" in str(Swarm([chunk(1)], []).failure())
    assert Swarm([], []).is_done
    assert Swarm([], []).failure() is None


def test_giving_up_names_each_holder_and_its_fault() -> None:
    swarm = Swarm([chunk(1)], [node(1), node(2), node(3), node(4)])
    swarm.asks(0.0)
    swarm.absent(node(1), [chunk(1)], 1.0)
    swarm.asks(2.0)
    swarm.lied(node(2), swarm.arrived(node(2), {chunk(1): 5}, 3.0))
    swarm.asks(4.0)
    swarm.broke_protocol(node(3))
    for minute in range(3):
        assert swarm.failure() is None
        swarm.asks(60.0 * minute)
        swarm.failed(node(4), 60.0 * minute)
    failure = swarm.failure()
    assert isinstance(failure, Unreachable)
    for reason in (
        "01010101 does not have it",
        "02020202 served a bad chunk",
        "03030303 broke the protocol",
        "04040404 does not answer",
    ):
        assert reason in str(failure)


def test_a_chunk_that_was_bad_is_taken_from_who_was_asked_for_it_besides() -> None:
    swarm = Swarm([chunk(1)], [node(1), node(2)])
    swarm.asks(0.0)
    repeats = swarm.asks(LATE_CHUNK_SECONDS)
    assert repeats == [Ask(node(2), (chunk(1),))]
    fresh = swarm.arrived(node(1), {chunk(1): 5}, 11.0)
    swarm.lied(node(1), fresh)
    assert swarm.asks(11.0) == []
    assert swarm.arrived(node(2), {chunk(1): 5}, 12.0) == [chunk(1)]
    swarm.stored(chunk(1))
    assert swarm.is_done


def test_who_is_late_keeps_no_other_from_being_asked() -> None:
    crowd = [node(number) for number in range(HOLDERS_AT_ONCE_MAX)]
    swarm = Swarm([chunk(number) for number in range(500)], [*crowd, node(99)])
    assert {ask.holder for ask in swarm.asks(0.0)} == set(crowd)
    assert swarm.asks(HOLDER_TRIAL_SECONDS - 1) == []
    assert node(99) in {ask.holder for ask in swarm.asks(LATE_CHUNK_SECONDS)}


def test_who_failed_is_asked_again_after_those_who_were_not_asked_yet() -> None:
    crowd = [node(number) for number in range(HOLDERS_AT_ONCE_MAX)]
    others = [node(100 + number) for number in range(HOLDERS_AT_ONCE_MAX)]
    swarm = Swarm([chunk(number) for number in range(500)], [*crowd, *others])
    swarm.asks(0.0)
    for holder in crowd:
        swarm.failed(holder, 1.0)
    assert {ask.holder for ask in swarm.asks(60.0)} == set(others)


def test_those_who_crawl_beside_a_quick_one_take_no_place() -> None:
    crowd = [node(number) for number in range(HOLDERS_AT_ONCE_MAX)]
    others = [node(100 + number) for number in range(HOLDERS_AT_ONCE_MAX)]
    swarm = Swarm([chunk(number) for number in range(500)], [*crowd, *others])
    asked = {ask.holder: ask.chunks for ask in swarm.asks(0.0)}
    for holder in crowd[1:]:
        swarm.arrived(holder, {asked[holder][0]: CHUNK_BYTES}, 4.0)
    assert {ask.holder for ask in swarm.asks(4.0)} <= set(crowd)
    swarm.arrived(crowd[0], dict.fromkeys(asked[crowd[0]], 100 * CHUNK_BYTES), 4.1)
    now_asked = {ask.holder for ask in swarm.asks(4.1)}
    assert now_asked == {crowd[0], *others[:-1]}


def test_a_crowd_that_crawls_does_not_keep_a_quick_one_out_for_long() -> None:
    """All places are taken by holders that are equally slow: one more is tried now and then."""
    wanted = [chunk(number) for number in range(500)]
    slow = {node(number): Peer(bytes_per_second=500.0) for number in range(20)}
    simulation = Simulation(1, {**slow, node(99): Peer(bytes_per_second=1e5)}, wanted)
    simulation.run()
    tries_max = len(slow) + 1 - HOLDERS_AT_ONCE_MAX
    assert simulation.now < tries_max * HOLDER_TRIAL_SECONDS + 20


def test_what_somebody_waits_for_is_asked_at_once_of_whoever_brings_it_first() -> None:
    wanted = [chunk(number) for number in range(1000)]
    swarm = Swarm(wanted, [node(1), node(2)])
    for ask in swarm.asks(0.0):
        seconds = 0.1 if ask.holder == node(2) else 1.0
        swarm.arrived(ask.holder, dict.fromkeys(ask.chunks, 500_000), seconds)
    swarm.asks(1.0)
    assert swarm.asks(1.0) == []  # both owe as much as they may
    swarm.want([wanted[-1], chunk(5000)], Urgency.NOW)
    assert swarm.asks(1.0) == [Ask(node(2), (wanted[-1], chunk(5000)), Urgency.NOW)]


def test_what_is_read_ahead_goes_before_the_rest() -> None:
    wanted = [chunk(number) for number in range(10)]
    swarm = Swarm(wanted, [node(1)])
    swarm.want(wanted[7:9], Urgency.SOON)
    assert swarm.asks(0.0) == [Ask(node(1), tuple(wanted[7:9]), Urgency.SOON)]


def test_what_somebody_waits_for_in_vain_is_asked_of_another_too() -> None:
    swarm = Swarm([], [node(1), node(2)])
    swarm.want([chunk(1)], Urgency.NOW)
    (first,) = swarm.asks(0.0)
    assert swarm.asks(URGENT_LATE_SECONDS - 0.1) == []
    (second,) = swarm.asks(URGENT_LATE_SECONDS)
    assert {first.holder, second.holder} == {node(1), node(2)}
    assert swarm.asks(URGENT_LATE_SECONDS + 1) == []


def test_what_nobody_wants_any_more_is_not_asked_and_may_still_come() -> None:
    swarm = Swarm([chunk(number) for number in range(5)], [node(1)])
    (ask,) = swarm.asks(0.0)
    swarm.forget([chunk(number) for number in range(5)])
    assert swarm.is_done
    assert swarm.asks(1.0) == []
    assert swarm.arrived(node(1), dict.fromkeys(ask.chunks, 5), 1.0) == list(ask.chunks)
    for one in ask.chunks:
        swarm.stored(one)
    swarm.want([chunk(4)])
    assert swarm.asks(1.0) == [Ask(node(1), (chunk(4),))]


def test_what_our_disk_refused_is_wanted_again_and_nobody_is_blamed() -> None:
    swarm = Swarm([chunk(1)], [node(1)])
    swarm.asks(0.0)
    swarm.not_stored(swarm.arrived(node(1), {chunk(1): 5}, 1.0))
    assert swarm.asks(1.0) == [Ask(node(1), (chunk(1),))]


def test_hanging_up_gives_back_what_was_owed_and_is_no_failure() -> None:
    swarm = Swarm([chunk(1)], [node(1)])
    swarm.asks(0.0)
    for _ in range(5):
        swarm.hung_up(node(1))
        assert swarm.asks(0.0) == [Ask(node(1), (chunk(1),))]


def test_who_is_named_anew_is_asked_anew_unless_it_lied() -> None:
    swarm = Swarm([chunk(1)], [node(1), node(2)])
    swarm.asks(0.0)
    swarm.broke_protocol(node(1))
    for minute in range(1, 4):
        swarm.asks(60.0 * minute)
        swarm.failed(node(2), 60.0 * minute)
    assert swarm.lost == {chunk(1)}
    swarm.meet([node(1), node(2)])
    swarm.want([chunk(1)])
    assert not swarm.lost
    assert [ask.holder for ask in swarm.asks(300.0)] == [node(2)]


@pytest.mark.parametrize("seed", range(60))
def test_one_dead_one_lying_one_crawling_cost_a_third_at_most(seed: int) -> None:
    """The one good holder alone is the measure."""
    choice = random.Random(seed)
    rate = choice.choice([20_000.0, 100_000.0])
    wanted = [chunk(number) for number in range(choice.choice([200, 600]))]
    seconds = []
    for company in (
        {},
        {
            node(1): Peer(rate, dies_at=choice.uniform(0.1, 1.0)),
            node(2): Peer(rate, lies=choice.choice([0.05, 1.0])),
            node(3): Peer(rate / 100),
        },
    ):
        simulation = Simulation(seed, {**company, node(99): Peer(rate)}, wanted)
        simulation.run()
        assert simulation.swarm.is_done
        seconds.append(simulation.now)
    assert seconds[1] <= 1.3 * seconds[0] + 0.3
