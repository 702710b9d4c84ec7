"""Strangers have a bounded part of connections and CPU, and nobody keeps others out for long."""

from contextlib import ExitStack

from p2pgrid.gridproxy.places import Budgets, Places, Waiting
from p2pgrid.limits.gridproxy import (
    HTTP_BODY_BYTES_MAX,
    HTTP_BURST_MS,
    HTTP_CONNECTIONS_MAX,
    HTTP_CONNECTIONS_PER_SITE_MAX,
    HTTP_COST_MS_MIN,
    HTTP_SITE_BURST_MS,
    HTTP_SITE_MS_PER_SECOND,
    HTTP_SITES_REMEMBERED_MAX,
    HTTP_SMALL_BYTES,
    HTTP_WAITING_BYTES_MAX,
)


def test_a_site_has_so_many_connections() -> None:
    places = Places()
    for number in range(HTTP_CONNECTIONS_PER_SITE_MAX):
        assert places.arrive(number, "a")
    assert not places.arrive(99, "a")
    assert places.arrive(100, "b")
    places.leave(0)
    assert places.arrive(101, "a")


def full() -> Places:
    places = Places()
    for number in range(HTTP_CONNECTIONS_MAX):
        assert places.arrive(number, f"site {number // HTTP_CONNECTIONS_PER_SITE_MAX}")
        assert places.whom_to_drop() is None
    return places


def test_who_idles_for_longest_makes_place() -> None:
    places = full()
    places.work(0)
    places.work(1)
    places.rest(1)
    places.arrive(1000, "new")
    assert places.whom_to_drop() == 2
    places.leave(2)
    assert places.whom_to_drop() is None


def test_when_all_are_at_work_the_newest_leaves() -> None:
    places = full()
    places.arrive(1000, "new")
    for number in (*range(HTTP_CONNECTIONS_MAX), 1000):
        places.work(number)
    assert places.whom_to_drop() == 1000


def test_a_site_that_asked_for_too_much_waits_and_others_do_not() -> None:
    budgets = Budgets(0.0)
    assert budgets.wait_seconds("a", 0.0) == 0
    budgets.charge("a", HTTP_SITE_BURST_MS + HTTP_SITE_MS_PER_SECOND)
    assert budgets.wait_seconds("a", 0.0) == 1.0
    assert budgets.wait_seconds("b", 0.0) == 0
    assert budgets.wait_seconds("a", 1.0) == 0


def test_all_sites_together_wait_as_well() -> None:
    budgets = Budgets(0.0)
    for site in ("a", "b", "c", "d"):
        budgets.wait_seconds(site, 0.0)
        budgets.charge(site, HTTP_BURST_MS / 3)
    assert budgets.wait_seconds("new", 0.0) > 0


def test_nothing_is_free() -> None:
    budgets = Budgets(0.0)
    budgets.wait_seconds("a", 0.0)
    for _ in range(int(HTTP_SITE_BURST_MS / HTTP_COST_MS_MIN) + 1):
        budgets.charge("a", 0.0)
    assert budgets.wait_seconds("a", 0.0) > 0


def test_sites_are_forgotten_in_the_end() -> None:
    budgets = Budgets(0.0)
    for number in range(HTTP_SITES_REMEMBERED_MAX + 50):
        budgets.wait_seconds(str(number), 0.0)
    assert len(budgets._sites) == HTTP_SITES_REMEMBERED_MAX


def test_a_site_has_one_of_the_largest_answers_waiting_and_others_have_theirs() -> None:
    waiting = Waiting()
    with waiting.hold("a", HTTP_BODY_BYTES_MAX):
        assert not waiting.has_room("a", HTTP_SMALL_BYTES + 1)
        assert waiting.has_room("a", HTTP_SMALL_BYTES), "who is refused hears so"
        assert waiting.has_room("b", HTTP_BODY_BYTES_MAX)
    assert waiting.has_room("a", HTTP_BODY_BYTES_MAX)
    assert not waiting._sites, "who has nothing waiting is forgotten"


def test_what_waits_for_all_sites_together_is_bounded() -> None:
    waiting, sites = Waiting(), HTTP_WAITING_BYTES_MAX // HTTP_BODY_BYTES_MAX
    with ExitStack() as held:
        for number in range(sites):
            assert waiting.has_room(str(number), HTTP_BODY_BYTES_MAX)
            held.enter_context(waiting.hold(str(number), HTTP_BODY_BYTES_MAX))
        assert not waiting.has_room("new", HTTP_SMALL_BYTES + 1)
    assert waiting.has_room("new", HTTP_BODY_BYTES_MAX)
