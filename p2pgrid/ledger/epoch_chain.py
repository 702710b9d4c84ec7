"""The epochs so far: who voted in each, from the genesis on, one certificate after the other.

No witness set introduces itself: each was decided by a quorum of the one before. So whoever
holds the genesis can check all of it, and needs nobody's word for anything.
"""

from p2pgrid.errors import BrokenProtocol, MalformedRecord, Unusable
from p2pgrid.ledger.certificate import WitnessSet, first_witnesses
from p2pgrid.ledger.epoch_rules import (
    Frame,
    proposal_id,
    require_epoch_certificate,
    witness_set,
)
from p2pgrid.ledger.epoch_schedule import Schedule
from p2pgrid.model.epoch import NO_COMMITMENT, NO_EPOCH, EpochCertificate, Seat
from p2pgrid.model.genesis import Genesis
from p2pgrid.model.ids import ID_BYTES
from p2pgrid.store.store import Change, Store, Table
from p2pgrid.units import SECOND_MS, TimestampMs
from p2pgrid.wire.codec import decode, encode

EPOCH_NUMBER_BYTES = 8
"""Of the number of an epoch in keys of the store, big-endian."""


class EpochChain:
    """Every epoch up to the current one."""

    def __init__(self, genesis: Genesis) -> None:
        self._length_ms = genesis.epoch_seconds * SECOND_MS
        seats = tuple(
            Seat(node=node, key=node, weight=weight, commitment=NO_COMMITMENT)
            for node, weight in genesis.witnesses
        )
        self._frames = [
            Frame(
                network=genesis.network,
                seats=seats,
                witnesses=first_witnesses(genesis),
                previous=NO_EPOCH,
                beacon=bytes(ID_BYTES),
                schedule=Schedule(genesis.created_ms, self._length_ms),
            )
        ]
        self._certificates: list[EpochCertificate] = []

    @property
    def frame(self) -> Frame:
        """The current epoch."""
        return self._frames[-1]

    @property
    def epoch(self) -> int:
        """Its number, and how many ended before it."""
        return len(self._certificates)

    @property
    def witnesses(self) -> WitnessSet:
        """Who votes in it."""
        return self.frame.witnesses

    @property
    def certificates(self) -> tuple[EpochCertificate, ...]:
        """The ends of all epochs before, in order."""
        return tuple(self._certificates)

    @property
    def witness_sets(self) -> tuple[WitnessSet, ...]:
        """Those of all epochs, in order."""
        return tuple(frame.witnesses for frame in self._frames)

    def frame_of(self, epoch: int) -> Frame | None:
        """One epoch; None of one that has not begun as far as is known here."""
        return self._frames[epoch] if epoch < len(self._frames) else None

    def end_of(self, epoch: int) -> EpochCertificate | None:
        """How an epoch ended; None when it has not, as far as is known here."""
        return self._certificates[epoch] if epoch < len(self._certificates) else None

    def append(self, certificate: EpochCertificate) -> bool:
        """Go on to the next epoch; whether that is news.

        Raises:
            PeerError: it does not end the current epoch, nor one before as that ended.
        """
        epoch = certificate.proposal.epoch
        if epoch > self.epoch:
            raise BrokenProtocol("the end of an epoch comes before those before it")
        identity = require_epoch_certificate(certificate, self._frames[epoch])
        if epoch < self.epoch:
            known = proposal_id(self._certificates[epoch].proposal, self.frame.network)
            if known != identity:
                raise BrokenProtocol("an epoch has two ends: a third of its witnesses cheat")
            return False
        self.restore(certificate)
        return True

    def restore(self, certificate: EpochCertificate) -> None:
        """Go on to the next epoch by a certificate that was checked before."""
        proposal = certificate.proposal
        identity = proposal_id(proposal, self.frame.network)
        epoch = self.epoch
        self._certificates.append(certificate)
        self._frames.append(
            Frame(
                network=self.frame.network,
                seats=proposal.seats,
                witnesses=witness_set(epoch + 1, proposal.seats),
                previous=identity,
                beacon=proposal.beacon,
                schedule=Schedule(TimestampMs(proposal.time_ms), self._length_ms),
            )
        )


def epoch_number(epoch: int) -> bytes:
    """The number of an epoch in keys of the store."""
    return epoch.to_bytes(EPOCH_NUMBER_BYTES, "big")


def end_change(certificate: EpochCertificate) -> Change:
    """What to store of an end that `append` took."""
    return Table.EPOCH.key(epoch_number(certificate.proposal.epoch)), encode(certificate)


def read_chain(genesis: Genesis, store: Store) -> EpochChain:
    """The chain as the store remembers it; everything in it was checked before."""
    chain = EpochChain(genesis)
    for _, data in store.scan(Table.EPOCH.value):
        try:
            chain.restore(decode(EpochCertificate, data))
        except MalformedRecord as error:
            raise Unusable(
                f"the end of epoch {chain.epoch} is damaged on disk ({error}); restore ledger.ldb, "
                "or move it away if this node is no witness and pays from no account"
            ) from error
    return chain
