"""Asks a few peers the same question: of different networks, others in place of those that fail."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

import trio

from p2pgrid.errors import GridError, Unreachable
from p2pgrid.limits.wire import FRAME_BYTES_MAX
from p2pgrid.model.ids import NodeId, short
from p2pgrid.net.network import Method, Network, blaming
from p2pgrid.wire.codec import decode

_T = TypeVar("_T")


async def ask_one(  # noqa: PLR0913, PLR0917 - one for each thing that a question is made of
    network: Network,
    peer: NodeId,
    method: Method,
    body: bytes,
    answer: type[_T],
    seconds_max: float,
    bytes_max: int = FRAME_BYTES_MAX,
) -> _T:
    """One answer of one peer, which is blamed for what is no answer.

    Raises:
        Unreachable: none within `seconds_max`.
        GridError: what the peer says went wrong, or it is no `answer`.
    """
    with trio.move_on_after(seconds_max):
        data = await network.request(peer, method, body)
        with blaming(network, peer):
            return decode(answer, data, bytes_max=bytes_max)
    raise Unreachable(f"no answer within {seconds_max:g} s")


@dataclass(frozen=True, slots=True)
class Panel:
    """Chooses whom to ask, and goes on until enough have answered."""

    network: Network
    random: Random
    answers_max: int
    tried_max: int
    """Peers that one question may be put to, in all."""

    def peers(self) -> list[NodeId]:
        """Connected peers in the order to ask them, `tried_max` at most.

        Peers of different networks go first: who rents one network full of peers is one voice.
        """
        peers = list(self.network.peers())
        self.random.shuffle(peers)
        return spread_by(self.network.prefix_of_peer, peers)[: self.tried_max]

    async def ask(self, ask: Callable[[NodeId], Awaitable[_T]]) -> list[_T]:
        """What up to `answers_max` peers answer, asked side by side.

        Args:
            ask: puts the question to one peer; when it raises GridError another one is tried.

        Raises:
            Unreachable: nobody answered.
        """
        peers = self.peers()
        answers: list[_T] = []
        reasons: list[str] = []

        async def attempt(peer: NodeId) -> None:
            try:
                answers.append(await ask(peer))
            except GridError as error:
                reasons.append(reason_of(peer, error))

        while peers and len(answers) < self.answers_max:
            some = peers[: self.answers_max - len(answers)]
            del peers[: len(some)]
            async with trio.open_nursery() as nursery:
                for peer in some:
                    nursery.start_soon(attempt, peer)
        if not answers:
            raise Unreachable(f"no peer of the grid answered ({self.why(reasons)})")
        return answers

    def why(self, reasons: Sequence[str]) -> str:
        """Why nobody answered, for people: some of the reasons that peers gave."""
        return "; ".join(reasons[: self.answers_max]) or "no peer is connected"


def reason_of(peer: NodeId, error: GridError) -> str:
    """Why one peer gave no answer; what comes from it is bounded."""
    return f"{short(peer)}: {error!s:.200}"


def spread_by(prefix_of: Callable[[NodeId], str], peers: Sequence[NodeId]) -> list[NodeId]:
    """Peers so that the first ones are of prefixes as different as there are; else in order."""
    seen: Counter[str] = Counter()
    rounds: list[int] = []
    for peer in peers:
        prefix = prefix_of(peer)
        rounds.append(seen[prefix])
        seen[prefix] += 1
    return [peer for _, peer in sorted(zip(rounds, peers, strict=True), key=lambda one: one[0])]
