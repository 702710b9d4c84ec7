"""Tells the grid of the liars that this node found out, and asks for those that it missed."""

import logging
from collections.abc import Callable
from random import Random

import trio

from p2pgrid.crdt.register import Contradiction
from p2pgrid.errors import GridError
from p2pgrid.explorer.contradictions import Contradictions
from p2pgrid.explorer.proofs import known_of
from p2pgrid.explorer.questions import AskProofs, Page, Query
from p2pgrid.explorer.records import envelope_of
from p2pgrid.limits.explorer import (
    FARM_MEMBERS_BYTES_MAX,
    PROOFS_ANSWER_BYTES_MAX,
    PROOFS_PAUSE_SECONDS,
    QUERY_PAGES_MAX,
    QUERY_PEERS,
)
from p2pgrid.limits.net import REQUEST_SECONDS_MAX
from p2pgrid.model.ids import NodeId, short
from p2pgrid.net.network import Method, Network, Topic, blaming
from p2pgrid.wire.codec import decode, encode

log = logging.getLogger(__name__)


class ProofExchange:
    """One for a full node. One task calls `run`.

    Args:
        network: where the peers are.
        proofs: those that the view keeps.
        take: verifies what a peer says is a proof, and keeps it if it is news. Raises PeerError.
        random: chooses whom to ask.
    """

    def __init__(
        self,
        network: Network,
        proofs: Contradictions,
        take: Callable[[bytes], object],
        random: Random,
    ) -> None:
        self._network = network
        self._proofs = proofs
        self._take = take
        self._random = random
        self._untold: list[Contradiction] = []
        """At most one for each that the view keeps."""
        self._has_untold = trio.Event()

    def tell(self, proof: Contradiction) -> None:
        """Let the grid know of a lie that this node found out itself."""
        self._untold.append(proof)
        self._has_untold.set()

    async def run(self, pulled: trio.Event) -> None:
        """Tell and ask until cancelled; the first question is asked when the view is there."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell)
            await pulled.wait()
            while True:
                await self._ask_somebody()
                await trio.sleep(PROOFS_PAUSE_SECONDS * self._random.uniform(0.5, 1.5))

    async def _tell(self) -> None:
        while True:
            await self._has_untold.wait()
            self._has_untold = trio.Event()
            untold, self._untold = self._untold, []
            for data in map(envelope_of, untold):
                if len(data) <= FARM_MEMBERS_BYTES_MAX:  # longer ones are no records to anybody
                    await self._network.publish(Topic.CAPACITY, data)

    async def _ask_somebody(self) -> None:
        """Ask peers in any order until one answers; light ones do not."""
        peers = list(self._network.peers())
        self._random.shuffle(peers)
        for peer in peers[:QUERY_PEERS]:
            try:
                with trio.fail_after(REQUEST_SECONDS_MAX):
                    await self._learn_from(peer)
            except (GridError, trio.TooSlowError) as error:
                log.debug("no proofs from %s: %s", short(peer), error)
            else:
                return

    async def _learn_from(self, peer: NodeId) -> None:
        """Take all that a peer has and we lack. Raises GridError."""
        known, skip = known_of(self._proofs), 0
        for _ in range(QUERY_PAGES_MAX):
            query = encode(Query(AskProofs(known), skip))
            answer = await self._network.request(peer, Method.EXPLORER_QUERY, query)
            with blaming(self._network, peer):
                page = decode(Page, answer, bytes_max=2 * PROOFS_ANSWER_BYTES_MAX)
                for data in page.records:
                    self._take(data)
                    await trio.lowlevel.checkpoint()
            skip += page.rows
            if not page.rows or not page.rows_left:
                return
