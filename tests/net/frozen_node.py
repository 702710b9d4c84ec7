"""A node in a process of its own, to be stopped and killed; prints its address."""

import sys

import trio
from nacl.signing import SigningKey

from p2pgrid.model.ids import NetworkId, NodeId
from p2pgrid.net.libp2p import open_libp2p
from p2pgrid.net.network import Method, Topic, Verdict

GRID = NetworkId(b"frozen grid.....")


async def _echo(peer: NodeId, body: bytes) -> bytes:
    return body


async def _sleep(peer: NodeId, body: bytes) -> bytes:
    return await trio.sleep_forever()


async def main() -> None:
    listen = ["/ip4/127.0.0.1/tcp/0"]
    async with open_libp2p(
        key=SigningKey(b"f" * 32), listen=listen, network_id=GRID, mdns=False
    ) as network:
        network.serve(Method.EXPLORER_QUERY, _echo)
        network.serve(Method.LEDGER_SUBMIT, _sleep)
        network.subscribe(Topic.LEDGER, lambda forwarder, data: Verdict.ACCEPT)
        sys.stdout.write(network.addresses()[0] + "\n")
        sys.stdout.flush()
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main)
