"""What we say goes to every peer that listens; what others say, along the mesh."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from libp2p.peer.id import ID

from p2pgrid.model.ids import NodeId
from p2pgrid.net.address import peer_id_bytes
from p2pgrid.net.libp2p_gossip import FloodPublishingRouter, new_router

TOPIC = "topic"


def peer(number: int) -> ID:
    return ID(peer_id_bytes(NodeId(number.to_bytes(32, "big"))))


OWN, MESH, OTHERS = peer(0), {peer(1), peer(2)}, {peer(number) for number in range(3, 20)}


@pytest.fixture
def router() -> FloodPublishingRouter:
    """With two peers in the mesh of a topic and 17 that only listen to it."""
    router = new_router()
    router.pubsub = cast(Any, SimpleNamespace(my_id=OWN, peer_topics={TOPIC: MESH | OTHERS}))
    router.mesh = {TOPIC: set(MESH)}
    return router


def test_own_messages_go_to_all_listeners_once(router: FloodPublishingRouter) -> None:
    sent = list(router._get_peers_to_send([TOPIC], OWN, OWN))

    assert len(sent) == len(set(sent))
    assert set(sent) == MESH | OTHERS


def test_own_messages_do_not_need_a_mesh(router: FloodPublishingRouter) -> None:
    router.mesh = {TOPIC: set()}

    assert set(router._get_peers_to_send([TOPIC], OWN, OWN)) == MESH | OTHERS
    assert list(router._get_peers_to_send(["unknown"], OWN, OWN)) == []


def test_messages_of_others_go_along_the_mesh(router: FloodPublishingRouter) -> None:
    assert set(router._get_peers_to_send([TOPIC], peer(1), peer(99))) == MESH - {peer(1)}
