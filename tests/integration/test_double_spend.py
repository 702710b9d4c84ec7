"""A second spend of one slot never certifies, whichever entry nodes are used, and is evidence."""

import secrets
from collections.abc import Sequence

import pytest
import trio
from nacl.signing import SigningKey

from p2pgrid import clock, keys
from p2pgrid.errors import GridError
from p2pgrid.ledger.genesis_file import read_genesis
from p2pgrid.model.ids import AccountId, NodeId
from p2pgrid.model.operation import NO_PREVIOUS, Operation, Transfer
from p2pgrid.net.address import join_address
from p2pgrid.net.libp2p import open_libp2p
from p2pgrid.net.network import Method, Network
from p2pgrid.units import TFT, Amount
from p2pgrid.wire.signed import sign
from tests.integration.conftest import LiveGrid, eventually, holds, p2pgrid

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]

ROUNDS = 6
PAUSE_SECONDS = 1.0


async def submit_everywhere(
    network: Network, entries: Sequence[NodeId], envelopes: Sequence[bytes]
) -> None:
    """Give each operation to another entry node, all at once; refusals are expected."""

    async def submit(entry: NodeId, envelope: bytes) -> None:
        with trio.move_on_after(PAUSE_SECONDS):
            try:
                await network.request(entry, Method.LEDGER_SUBMIT, envelope)
            except GridError:
                return

    async with trio.open_nursery() as nursery:
        for entry, envelope in zip(entries, envelopes, strict=True):
            nursery.start_soon(submit, entry, envelope)


@pytest.mark.parametrize("with_restart", [False, True], ids=["all up", "a witness restarts"])
async def test_two_spends_of_one_slot(grid: LiveGrid, with_restart: bool) -> None:
    name = f"cheat{secrets.token_hex(4)}"
    data = grid.processes.consumer.data
    p2pgrid(data, "wallet", "create", name, "--plain", check=True)
    p2pgrid(data, "wallet", "send", name, "10", "--yes", check=True)
    key = keys.open_wallet(data, name)
    cheat = AccountId(bytes(key.verify_key))
    receivers = [AccountId(bytes(SigningKey.generate().verify_key)) for _ in range(2)]
    genesis = read_genesis(grid.processes.genesis)
    envelopes = [
        sign(
            Operation(
                account=cheat,
                sequence=0,
                previous=NO_PREVIOUS,
                time_ms=clock.now_ms(),
                fee=genesis.pricing.fee,
                payload=Transfer(outputs=((receiver, Amount(6 * TFT)),)),
            ),
            key,
            genesis.network,
        ).envelope
        for receiver in receivers
    ]
    for node in grid.nodes:
        eventually(
            "the money is there",
            lambda client: holds(client, cheat.hex(), 10 * TFT),
            node.client,
        )

    async with open_libp2p(
        key=SigningKey.generate(),
        listen=["/ip4/127.0.0.1/tcp/0"],
        network_id=genesis.network,
        mdns=False,
    ) as network:
        entries = [NodeId(bytes.fromhex(node.node_id)) for node in grid.nodes[:2]]
        for node, identity in zip(grid.nodes[:2], entries, strict=True):
            await network.connect(join_address(f"/ip4/127.0.0.1/tcp/{node.port}", identity))
        for turn in range(ROUNDS):
            if with_restart and turn == 1:
                grid.kill(grid.nodes[2])
            order = envelopes if turn % 2 == 0 else envelopes[::-1]
            await submit_everywhere(network, entries, order)
        if with_restart:
            grid.restart(grid.nodes[2])  # from this thread: the node ends with its parent
        await submit_everywhere(network, entries, envelopes)

    caught = cheat.hex()
    for node in grid.nodes:
        eventually(
            "the proof is everywhere",
            lambda client: caught in {one["culprit"] for one in client.get("/ledger/evidence")},
            node.client,
        )
        got = [node.client.get(f"/accounts/{one.hex()}")["balance"] for one in receivers]
        assert sorted(got) in ([0, 0], [0, 6 * TFT]), "both spends of one slot were certified"
        assert not node.client.get("/ledger")["alarms"]
    assert caught[:16] in p2pgrid(grid.nodes[0].data, "ledger", "evidence", check=True).stdout
