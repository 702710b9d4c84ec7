"""Events happen in one order, which the digest tells."""

from random import Random

from p2pgrid.simulation.scheduler import Scheduler


def test_events_happen_in_the_order_of_time_and_then_of_their_making() -> None:
    scheduler, seen = Scheduler(1), list[tuple[str, float]]()
    for name, seconds in (("late", 2.0), ("first", 1.0), ("second", 1.0), ("never", 9.0)):
        scheduler.after(seconds, lambda name: seen.append((name, scheduler.now)), name)

    scheduler.run(5.0)

    assert seen == [("first", 1.0), ("second", 1.0), ("late", 2.0)]
    assert scheduler.now == 5.0
    assert scheduler.events == 3


def test_what_is_planned_meanwhile_happens_in_order_too() -> None:
    """Between events that are next to each other, before ones already looked at, and far away."""
    scheduler, random = Scheduler(1), Random(1)
    made, seen = list[tuple[float, int]](), list[tuple[float, int]]()

    def happen(number: int) -> None:
        assert made[number][0] == scheduler.now
        seen.append(made[number])
        for _ in range(2 if len(made) < 3000 else 0):
            plan(random.choice((0.0, 1e-6, 1e-4, 3e-3, 0.5)) * random.randint(0, 3))

    def plan(seconds: float) -> None:
        number = len(made)
        made.append((scheduler.now + seconds, number))
        scheduler.after(seconds, happen, number)

    for _ in range(50):
        plan(random.random())
    until = 0.0
    while len(seen) < len(made):
        until += random.choice((1e-4, 7e-3, 0.3))
        scheduler.run(until)
        plan(0.0)
        if len(made) > 3000:
            scheduler.run(until + 5.0)

    assert seen == sorted(made)
    assert len(seen) > 3000


def test_the_digest_tells_runs_apart() -> None:
    def digest(seconds: float, noted: float = 0.0) -> str:
        scheduler = Scheduler(1)
        scheduler.after(seconds, scheduler.note, noted)
        scheduler.run(10.0)
        return scheduler.digest()

    assert digest(1.0) == digest(1.0)
    assert len({digest(1.0), digest(1.5), digest(1.0, 3.0)}) == 3


def test_streams_of_random_numbers_follow_from_the_seed_and_their_name() -> None:
    def draw(seed: int, name: str) -> float:
        return Scheduler(seed).random_of(name).random()

    assert draw(1, "wires") == draw(1, "wires")
    assert len({draw(1, "wires"), draw(2, "wires"), draw(1, "links")}) == 3
