"""A node program to be killed: `python -m tests.workload.killed_program DIRECTORY NODE ROOT MODE`.

It prints a line when it is about to begin. Mode `churn` deploys and tears down for ever, `keep`
deploys once.
"""

import sys
from pathlib import Path

import trio

from p2pgrid.model.ids import NodeId
from p2pgrid.workload.service import WorkloadService, open_workloads
from tests.workload.conftest import OTHER, RESERVATION, LocalImages, container

SERVER = container("echo up; exec httpd -f -p 80 -h /www", name="server")
PAIR = [
    container("trap 'exit 0' TERM; while :; do sleep 1 & wait; done", name="first"),
    container("exit 3", name="second"),
]


async def main(directory: Path, node: NodeId, root: Path, mode: str) -> None:
    """Work until killed."""
    async with open_workloads(directory, LocalImages(root), node) as service:
        say("ready")
        if mode == "keep":
            await service.deploy(RESERVATION, [SERVER, PAIR[1]])
            await service.exits.receive()
            say("deployed")
            await trio.sleep_forever()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(churn, service)
            async for _ in service.exits:
                pass


async def churn(service: WorkloadService) -> None:
    """Two reservations, one after the other, for ever."""
    while True:
        for reservation in (RESERVATION, OTHER):
            await service.deploy(reservation, PAIR)
        for reservation in (RESERVATION, OTHER):
            await service.tear_down(reservation)


def say(word: str) -> None:
    """To whoever is going to kill us."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    trio.run(
        main, Path(sys.argv[1]), NodeId(bytes.fromhex(sys.argv[2])), Path(sys.argv[3]), sys.argv[4]
    )
