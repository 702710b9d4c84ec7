"""Rules of the router, one by one, and what they make of a whole grid."""

from collections.abc import Callable
from random import Random

import pytest

from p2pgrid.limits.net import (
    GOSSIP_BYTES_MAX,
    GOSSIP_PEER_BURST_MESSAGES,
)
from p2pgrid.limits.spreading import (
    GOSSIP_ANNOUNCE_SECONDS,
    GOSSIP_BATCH_BYTES_MAX,
    GOSSIP_FLUSH_SECONDS,
    GOSSIP_GIVEN_BURST_BYTES,
    GOSSIP_LISTENERS_MAX,
    GOSSIP_PROVIDERS_WANTED,
    GOSSIP_PULL_SECONDS,
    GOSSIP_REPEAT_PULL_SECONDS,
    GOSSIP_SEEN_SECONDS,
    GOSSIP_WANTED_PER_PEER_MAX,
)
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import Verdict
from p2pgrid.net.spread_messages import (
    Announce,
    Graft,
    Item,
    Prune,
    Pull,
    Push,
    SpreadMessage,
    Topics,
    item_id,
)
from p2pgrid.net.spreading import Blame, Effect, Router, Send
from tests.net.spread_model import TOPIC, SpreadModel, node

NODES, DEGREE = 1000, 8
A, B, C, D = (node(number) for number in range(1, 5))


def accept(topic: str, forwarder: NodeId, data: bytes) -> Verdict:
    return Verdict.ACCEPT


def item(text: bytes) -> Item:
    return Item(TOPIC, text)


def push(text: bytes) -> Push:
    return Push((item(text),))


def said(effects: list[Effect], kind: type[SpreadMessage]) -> list[Send]:
    return [one for one in effects if isinstance(one, Send) and isinstance(one.message, kind)]


def pulled(effects: list[Effect]) -> dict[NodeId, tuple[bytes, ...]]:
    return {
        one.peer: one.message.ids
        for one in effects
        if isinstance(one, Send) and isinstance(one.message, Pull)
    }


def batches(effects: list[Effect]) -> list[tuple[Item, ...]]:
    return [
        one.message.items
        for one in effects
        if isinstance(one, Send) and isinstance(one.message, Push)
    ]


def router_with(*peers: NodeId, listeners: tuple[NodeId, ...] = ()) -> Router:
    router = Router(Random(1), [TOPIC])
    for peer in peers:
        router.peer_up(peer, 0.0)
        router.receive(peer, Topics((TOPIC,)), accept, 0.0)
    for peer in listeners:
        router.receive(peer, Graft(), accept, 0.0)
    return router


def test_a_publisher_pushes_to_every_peer_that_listens_to_the_topic() -> None:
    router = router_with(A, B, C)
    router.receive(C, Topics(("another",)), accept, 0.0)

    effects = router.publish(TOPIC, b"news", 0.0)

    assert effects == [Send(A, push(b"news")), Send(B, push(b"news"))]


def test_a_publisher_in_a_hurry_pushes_in_batches() -> None:
    router = router_with(A, B)

    first, second, third = (router.publish(TOPIC, b"%d" % turn, 0.0) for turn in range(3))
    later = router.tick(GOSSIP_FLUSH_SECONDS)

    assert first == [Send(A, push(b"0")), Send(B, push(b"0"))]
    assert second == third == []
    both = Push((item(b"1"), item(b"2")))
    assert later == [Send(A, both), Send(B, both)]


def test_what_is_new_is_pushed_to_listeners_and_announced_to_others() -> None:
    router = router_with(A, B, C, listeners=(B,))

    pushed = router.receive(A, push(b"news"), accept, 0.0)
    announced = router.tick(GOSSIP_ANNOUNCE_SECONDS)

    assert pushed == [Send(B, push(b"news"))]
    assert announced == [Send(C, Announce((item_id(item(b"news")),)))]


def test_who_comes_in_place_of_one_that_knew_it_is_told() -> None:
    router = router_with(A, B, listeners=(B,))
    router.receive(A, push(b"news"), accept, 0.0)
    router.peer_down(B, 0.0)
    router.peer_up(C, 0.0)
    router.receive(C, Topics((TOPIC,)), accept, 0.0)

    announced = router.tick(GOSSIP_ANNOUNCE_SECONDS)

    assert announced == [Send(C, Announce((item_id(item(b"news")),)))]


def test_what_is_known_is_neither_judged_nor_passed_on_again() -> None:
    judged: list[bytes] = []

    def judge(topic: str, forwarder: NodeId, data: bytes) -> Verdict:
        judged.append(data)
        return Verdict.ACCEPT

    router = router_with(A, B, C, listeners=(C,))
    router.receive(A, push(b"news"), judge, 0.0)

    assert router.receive(B, push(b"news"), judge, 0.0) == []
    assert judged == [b"news"]
    later = GOSSIP_SEEN_SECONDS + 1
    router.tick(later)
    router.receive(B, push(b"news"), judge, later)
    assert len(judged) == 2


def test_what_is_ignored_stays_here_and_blames_nobody() -> None:
    router = router_with(A, B, listeners=(B,))

    assert router.receive(A, push(b"old"), lambda *_: Verdict.IGNORE, 0.0) == []
    assert router.tick(1.0) == []


def test_what_is_rejected_counts_against_the_forwarder_each_time_and_is_not_remembered() -> None:
    router = router_with(A, B, listeners=(B,))

    for _ in range(2):
        assert router.receive(A, push(b"x"), lambda *_: Verdict.REJECT, 0.0) == [Blame(A)]
    assert router.receive(A, push(b"x"), accept, 0.0) == [Send(B, push(b"x"))]


def test_one_invalid_item_ends_the_reading_of_a_message() -> None:
    """Each costs a signature check, and a message holds a thousand."""
    judged: list[bytes] = []

    def judge(topic: str, forwarder: NodeId, data: bytes) -> Verdict:
        judged.append(data)
        return Verdict.REJECT

    junk = Push(tuple(item(b"%d" % number) for number in range(1000)))

    assert router_with(A).receive(A, junk, judge, 0.0) == [Blame(A)]
    assert judged == [b"0"]


def test_too_much_of_one_peer_is_ignored_without_blame_and_comes_by_another() -> None:
    router = router_with(A, B)
    for number in range(GOSSIP_PEER_BURST_MESSAGES):
        router.receive(A, push(b"%d" % number), accept, 0.0)
    judged: list[bytes] = []

    def judge(topic: str, forwarder: NodeId, data: bytes) -> Verdict:
        judged.append(data)
        return Verdict.ACCEPT

    assert router.receive(A, push(b"more"), judge, 0.0) == []
    assert judged == []
    router.receive(B, push(b"more"), judge, 0.0)
    assert judged == [b"more"]


def test_at_high_rates_one_message_carries_many_items() -> None:
    router = router_with(A, B, listeners=(B,))
    router.receive(A, push(b"first"), accept, 0.0)

    at_once = [router.receive(A, push(text), accept, 0.01) for text in (b"second", b"third")]

    assert at_once == [[], []]
    assert router.wake_at == pytest.approx(GOSSIP_FLUSH_SECONDS)
    assert router.tick(router.wake_at) == [Send(B, Push((item(b"second"), item(b"third"))))]


def test_batches_are_bounded() -> None:
    router = router_with(A, B, listeners=(B,))
    router.receive(A, push(b"first"), accept, 0.0)
    effects: list[Effect] = []
    for number in range(4):
        effects += router.receive(A, push(bytes([number]) * GOSSIP_BYTES_MAX), accept, 0.0)
    effects += router.tick(1.0)

    sizes = [sum(len(one.data) for one in batch) for batch in batches(effects)]
    assert sum(sizes) == 4 * GOSSIP_BYTES_MAX
    assert max(sizes) <= GOSSIP_BATCH_BYTES_MAX


def test_nothing_is_pushed_to_a_peer_that_has_it() -> None:
    router = router_with(A, B, listeners=(B,))
    router.receive(A, push(b"first"), accept, 0.0)
    router.receive(A, push(b"second"), accept, 0.0)

    router.receive(B, push(b"second"), accept, 0.01)

    assert said(router.tick(0.1), Push) == []


def test_what_was_announced_and_does_not_come_is_pulled_of_one_after_the_other() -> None:
    router = router_with(A, B)
    ids = (item_id(item(b"news")),)
    router.receive(A, Announce(ids), accept, 0.0)
    router.receive(B, Announce(ids), accept, 0.1)

    assert router.tick(GOSSIP_PULL_SECONDS - 0.01) == []
    assert router.tick(GOSSIP_PULL_SECONDS) == [Send(A, Pull(ids))]
    second = GOSSIP_PULL_SECONDS + GOSSIP_REPEAT_PULL_SECONDS
    assert router.tick(second) == [Send(B, Pull(ids))]
    assert router.tick(second + GOSSIP_REPEAT_PULL_SECONDS) == []


def test_what_came_in_time_is_not_pulled() -> None:
    router = router_with(A, B)
    router.receive(A, Announce((item_id(item(b"news")),)), accept, 0.0)
    router.receive(B, push(b"news"), accept, 0.1)

    assert said(router.tick(GOSSIP_PULL_SECONDS), Pull) == []


def test_who_pulls_gets_what_is_there_within_its_pace() -> None:
    router = router_with(A)
    texts = [bytes([number]) * GOSSIP_BYTES_MAX for number in range(20)]
    for text in texts:
        router.publish(TOPIC, text, 0.0)
    router.tick(0.5)
    ids = tuple(item_id(item(text)) for text in texts)

    effects = router.receive(A, Pull((bytes(8), *ids)), accept, 0.0) + router.tick(1.0)

    given = sum(map(len, batches(effects)))
    assert given == GOSSIP_GIVEN_BURST_BYTES // GOSSIP_BYTES_MAX


def test_ids_that_one_peer_makes_up_are_bounded_and_displace_nobody() -> None:
    router = router_with(A, B)
    invented = tuple(number.to_bytes(8, "big") for number in range(2 * GOSSIP_WANTED_PER_PEER_MAX))
    router.receive(A, Announce(invented), accept, 0.0)
    router.receive(B, Announce((b"wanted!!",)), accept, 0.0)

    asked = pulled(router.tick(GOSSIP_PULL_SECONDS))

    assert asked[B] == (b"wanted!!",)
    assert len(asked[A]) == GOSSIP_WANTED_PER_PEER_MAX


def test_who_delivers_what_providers_did_not_becomes_one_instead_of_the_worst() -> None:
    router = router_with(A, B, C)
    useful, useless = router.providers()
    (other,) = {A, B, C} - {useful, useless}
    router.receive(useful, push(b"before"), accept, 1.0)
    router.receive(other, Announce((item_id(item(b"late")),)), accept, 2.0)
    router.tick(2.0 + GOSSIP_PULL_SECONDS)

    effects = router.receive(other, push(b"late"), accept, 3.0)

    assert Send(useless, Prune()) in effects
    assert Send(other, Graft()) in effects
    assert set(router.providers()) == {useful, other}


def test_a_provider_that_is_gone_is_replaced() -> None:
    router = router_with(A, B, C, D)
    gone = router.providers()[0]

    effects = router.peer_down(gone, 1.0)

    assert len(said(effects, Graft)) == 1
    assert len(router.providers()) == GOSSIP_PROVIDERS_WANTED
    assert gone not in router.providers()


def test_listeners_are_bounded_and_may_leave() -> None:
    peers = [node(number) for number in range(GOSSIP_LISTENERS_MAX + 5)]
    router = router_with(*peers, listeners=tuple(peers))
    assert len(router.listeners()) == GOSSIP_LISTENERS_MAX

    router.receive(peers[0], Prune(), accept, 0.0)

    assert peers[0] not in router.listeners()


def test_a_stranger_is_not_heard() -> None:
    assert router_with(A).receive(B, push(b"x"), lambda *_: Verdict.REJECT, 0.0) == []


def test_new_topics_are_told() -> None:
    assert router_with(A).subscribe("z") == [Send(A, Topics((TOPIC, "z")))]


# --- a whole grid ---------------------------------------------------------------------------------


def publish_some(model: SpreadModel, count: int, prefix: bytes) -> list[bytes]:
    honest = sorted(set(model.routers) - model.silent)
    texts = [prefix + b"%d" % number for number in range(count)]
    for text in texts:
        model.publish(model.random.choice(honest), text)
        model.run(0.5)
    model.run(5)
    return texts


def test_all_are_reached_soon_with_two_copies() -> None:
    model = SpreadModel(NODES, degree=DEGREE, seed=1)
    publish_some(model, 4, b"warm up")
    model.copies = 0

    texts = publish_some(model, 10, b"steady")

    assert all(model.reached(text) == 1 for text in texts)
    assert model.copies / len(texts) / NODES <= 2
    delays = sorted(delay for text in texts for delay in model.delays(text))
    assert delays[int(len(delays) * 0.99)] < 2
    assert model.blamed == []


def test_a_third_of_silent_peers_keeps_nearly_nobody_from_news() -> None:
    """They take everything, announce what they have, and give nothing."""
    silent = frozenset(Random(2).sample(range(NODES), NODES // 3))
    model = SpreadModel(NODES, degree=DEGREE, seed=2, silent=silent)

    texts = publish_some(model, 10, b"news")

    assert sum(model.reached(text) for text in texts) / len(texts) >= 0.999


@pytest.mark.parametrize("seed", range(5))
def test_a_publisher_whose_listeners_are_all_silent_reaches_everybody(seed: int) -> None:
    """At once, because it pushes to all its peers: nobody has to pull first."""
    model = SpreadModel(60, degree=DEGREE, seed=seed)
    publisher = node(0)
    model.run(1)
    model.silent |= set(model.routers[publisher].listeners())

    assert model.silent
    model.publish(publisher, b"news")
    model.run(GOSSIP_ANNOUNCE_SECONDS + GOSSIP_PULL_SECONDS)
    assert model.reached(b"news") > 0.1
    model.run(10)
    assert model.reached(b"news") == 1


def test_what_is_published_before_peers_said_what_they_hear_is_announced_to_them() -> None:
    router = Router(Random(1), [TOPIC])
    router.peer_up(A, 0.0)
    assert router.publish(TOPIC, b"early", 0.0) == []
    router.receive(A, Topics((TOPIC,)), accept, 0.1)

    assert router.tick(1.0) == [Send(A, Announce((item_id(item(b"early")),)))]


def test_the_grid_mends_when_many_leave() -> None:
    model = SpreadModel(200, degree=DEGREE, seed=3)
    publish_some(model, 3, b"before")
    leaving = set(model.random.sample(sorted(model.routers), 60))
    for name in leaving:
        for other in list(model.neighbours[name]):
            model.disconnect(name, other)
    model.silent |= leaving

    texts = publish_some(model, 5, b"after")

    assert all(model.reached(text) == 1 for text in texts)


def test_one_seed_is_one_run() -> None:
    def run(publish: Callable[[SpreadModel, int, bytes], list[bytes]]) -> object:
        model = SpreadModel(50, degree=DEGREE, seed=4)
        publish(model, 5, b"x")
        return model.arrived, model.copies

    assert run(publish_some) == run(publish_some)
