"""A bulk port that could not be reached is left alone for a while."""

from p2pgrid.limits.net import BULK_DIRECT_RETRY_SECONDS, BULK_UNREACHED_MAX
from p2pgrid.model.ids import NodeId
from p2pgrid.net.bulk_routes import BulkRoutes


def peer(number: int) -> NodeId:
    return NodeId(number.to_bytes(32, "big"))


def test_a_failure_is_remembered_for_a_while_and_a_success_ends_it() -> None:
    routes = BulkRoutes()
    assert routes.is_direct(peer(1), 10.0)
    routes.note(peer(1), 10.0, is_reached=False)
    assert not routes.is_direct(peer(1), 10.0 + BULK_DIRECT_RETRY_SECONDS - 1)
    assert routes.is_direct(peer(2), 10.0)
    assert routes.is_direct(peer(1), 10.0 + BULK_DIRECT_RETRY_SECONDS)
    routes.note(peer(1), 20.0, is_reached=True)
    assert routes.is_direct(peer(1), 20.0)


def test_so_many_are_remembered_and_the_oldest_forgotten() -> None:
    routes = BulkRoutes()
    for number in range(BULK_UNREACHED_MAX + 1):
        routes.note(peer(number), 0.0, is_reached=False)
    assert routes.is_direct(peer(0), 1.0)
    assert not routes.is_direct(peer(1), 1.0)
    assert not routes.is_direct(peer(BULK_UNREACHED_MAX), 1.0)
