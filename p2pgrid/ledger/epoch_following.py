"""How a light peer knows who votes: it follows certificates of epochs from the genesis on.

It keeps them and nothing else of epochs. Peers may hold them back, and cannot make any up.
"""

from p2pgrid.errors import BrokenProtocol
from p2pgrid.ledger.certificate import WitnessSet
from p2pgrid.ledger.epoch_chain import EpochChain, end_change, read_chain
from p2pgrid.ledger.epoch_fetching import fetch_epochs
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import NodeId
from p2pgrid.net.network import Network, blaming
from p2pgrid.store.store import Store


class EpochFollowing:
    """The witness sets of all epochs that peers have shown."""

    def __init__(self, genesis: Genesis, network: Network, store: Store) -> None:
        self._network = network
        self._store = store
        self._chain: EpochChain = read_chain(genesis, store)

    @property
    def witnesses(self) -> WitnessSet:
        """Who votes now, as far as is known."""
        return self._chain.witnesses

    @property
    def chain(self) -> EpochChain:
        """Every epoch that is known."""
        return self._chain

    @property
    def witness_sets(self) -> tuple[WitnessSet, ...]:
        """Those of all epochs, in order."""
        return self._chain.witness_sets

    async def reach(self, peer: NodeId, epoch: int) -> None:
        """Know the witness set of an epoch that a peer speaks of.

        Raises:
            PeerError: the peer cannot show how that epoch came about.
            Unreachable: it does not answer.
        """
        while self._chain.epoch < epoch:
            before = self._chain.epoch
            await self.ask(peer)
            if self._chain.epoch == before:
                with blaming(self._network, peer):
                    raise BrokenProtocol("a peer speaks of an epoch that it cannot show")

    async def ask(self, peer: NodeId) -> None:
        """Ask a peer for ends of epochs that are not known yet. Raises GridError."""
        ends = await fetch_epochs(self._network, peer, self._chain.epoch)
        with blaming(self._network, peer):
            for end in ends:
                if self._chain.append(end):
                    self._store.write([end_change(end)])
