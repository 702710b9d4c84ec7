"""The keys that a witness votes with: a new one for every epoch, and the old one gone.

In epoch 0 that is the key of its node. From then on whoever steals a witness's disk gets the
key of one epoch, and can rewrite none that is over. (A disk may keep deleted bytes for a
while, and the key of epoch 0 stays: it is the node's.)
"""

from collections.abc import Callable
from dataclasses import dataclass

from nacl.signing import SigningKey

from p2pgrid.ledger.epoch_chain import epoch_number
from p2pgrid.ledger.epoch_rules import commitment_to
from p2pgrid.ledger.epoch_voter import Fresh
from p2pgrid.model.epoch import NO_COMMITMENT, Seat
from p2pgrid.model.ids import ID_BYTES, NodeId, require_ids
from p2pgrid.store.store import Change, Store, Table
from p2pgrid.wire.codec import decode, encode


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochSecret:
    """What a witness made for one epoch; at rest."""

    seed: bytes
    """Of its key."""
    reveal: bytes
    """What it commits itself to."""

    def __post_init__(self) -> None:
        require_ids(self.seed, self.reveal)

    @property
    def key(self) -> SigningKey:
        """Its key."""
        return SigningKey(self.seed)


class EpochKeys:
    """The secrets of one witness.

    Args:
        identity: the node's key.
        store: where they are.
        random_bytes: gives that many, which nobody can guess.
    """

    def __init__(
        self, identity: SigningKey, store: Store, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._identity = identity
        self._random_bytes = random_bytes
        self._secrets = {
            int.from_bytes(key[1:], "big"): decode(EpochSecret, data)
            for key, data in store.scan(Table.EPOCH_SECRET.value)
        }

    @property
    def node(self) -> NodeId:
        """The witness."""
        return NodeId(bytes(self._identity.verify_key))

    def key_of(self, seat: Seat) -> SigningKey | None:
        """What signs on a seat of ours; None when it was lost: then this witness sits out."""
        keys = self._identity, *(secret.key for secret in self._secrets.values())
        return next((key for key in keys if bytes(key.verify_key) == seat.key), None)

    def make(self, epoch: int) -> list[Change]:
        """Make secrets for an epoch, once; gives what to store before anybody learns of them."""
        if epoch not in self._secrets:
            self._secrets[epoch] = EpochSecret(
                seed=self._random_bytes(ID_BYTES), reveal=self._random_bytes(ID_BYTES)
            )
        return [(_place(epoch), encode(self._secrets[epoch]))]

    def fresh(self, epoch: int, seat: Seat) -> Fresh | None:
        """What to report at the end of an epoch; None when what was promised is lost.

        Args:
            epoch: the next one, whose secrets are made.
            seat: ours in this one.
        """
        secret = self._secrets[epoch]
        reveal = b""
        if seat.commitment != NO_COMMITMENT:
            kept = [
                one.reveal
                for one in self._secrets.values()
                if commitment_to(one.reveal) == seat.commitment
            ]
            if not kept:
                return None
            reveal = kept[0]
        key = bytes(secret.key.verify_key)
        return Fresh(next_key=key, commitment=commitment_to(secret.reveal), reveal=reveal)

    def retire(self, epoch: int, seat: Seat | None) -> list[Change]:
        """Destroy what an epoch that has begun needs no more; gives what to store.

        Args:
            epoch: the one that has begun.
            seat: ours in it, if we have one.
        """
        needed = set() if seat is None else {seat.key}
        over = [
            one
            for one, secret in self._secrets.items()
            if one <= epoch and bytes(secret.key.verify_key) not in needed
        ]
        for one in over:
            del self._secrets[one]
        return [(_place(one), None) for one in over]


def _place(epoch: int) -> bytes:
    return Table.EPOCH_SECRET.key(epoch_number(epoch))
