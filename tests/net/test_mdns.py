"""Nodes on one network find those of their own grid; here the network is loopback."""

import trio

from p2pgrid.model.ids import NetworkId, NodeId
from p2pgrid.net.address import join_address
from p2pgrid.net.mdns import Sighting, open_mdns, sighting_of

GRID, OTHER_GRID = NetworkId(b"g" * 16), NetworkId(b"o" * 16)
LOOPBACK = ["127.0.0.1"]


def address(node: NodeId) -> str:
    return join_address("/ip4/127.0.0.1/tcp/4001", node)


async def test_nodes_of_one_grid_sight_each_other_and_nobody_else() -> None:
    one, two, other = (NodeId(letter * 32) for letter in (b"1", b"2", b"3"))
    send, receive = trio.open_memory_channel[tuple[NodeId, Sighting]](100)
    seen: set[tuple[NodeId, NodeId]] = set()

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:

            async def be(node: NodeId, grid: NetworkId) -> None:
                async with open_mdns(
                    node=node,
                    network_id=grid,
                    addresses=[address(node)],
                    on_sighting=lambda sighting: send.send_nowait((node, sighting)),
                    interfaces=LOOPBACK,
                ):
                    await trio.sleep_forever()

            nursery.start_soon(be, other, OTHER_GRID)
            for node in (one, two):
                nursery.start_soon(be, node, GRID)
            while len(seen) < 2:
                watcher, sighting = await receive.receive()
                assert sighting.addresses == (address(sighting.node),)
                seen.add((watcher, sighting.node))
            nursery.cancel_scope.cancel()

    assert seen == {(one, two), (two, one)}


def test_a_record_names_one_node_or_none() -> None:
    one, two = NodeId(b"1" * 32), NodeId(b"2" * 32)

    good = {b"a0": address(one).encode(), b"other": b"x", b"a1": address(one).encode()}
    assert sighting_of(good) == Sighting(one, (address(one),) * 2)
    assert sighting_of({}) is None
    assert sighting_of({b"a0": address(one).encode(), b"a1": address(two).encode()}) is None
    assert sighting_of({b"a0": b"\xff nonsense"}) is None
    assert sighting_of({b"a0": None}) is None
