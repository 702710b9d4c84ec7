"""A new key for every epoch, and none more than is needed."""

from random import Random

from p2pgrid.ledger.epoch_keys import EpochKeys
from p2pgrid.ledger.epoch_rules import commitment_to
from p2pgrid.model.epoch import NO_COMMITMENT, Seat
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import Table
from tests.ledger.grids import epoch_keys, key_of, node_of


def first_seat() -> Seat:
    node = node_of("w")
    return Seat(node=node, key=node, weight=1, commitment=NO_COMMITMENT)


def seated(keys: EpochKeys, epoch: int, before: Seat) -> Seat:
    """The seat that follows from our report."""
    fresh = keys.fresh(epoch, before)
    assert fresh is not None
    return Seat(node=before.node, key=fresh.next_key, weight=1, commitment=fresh.commitment)


def test_signs_in_epoch_0_with_the_key_of_the_node() -> None:
    keys = epoch_keys(key_of("w"), MemoryStore())

    assert keys.key_of(first_seat()) == key_of("w")
    assert keys.node == node_of("w")


def test_secrets_are_made_once_and_survive_a_restart() -> None:
    store = MemoryStore()
    keys = epoch_keys(key_of("w"), store)
    store.write(keys.make(1))
    seat = seated(keys, 1, first_seat())
    keys.make(1)
    again = EpochKeys(key_of("w"), store, Random(7).randbytes)
    again.make(1)

    assert seated(keys, 1, first_seat()) == seat == seated(again, 1, first_seat())
    key = again.key_of(seat)
    assert key is not None
    assert bytes(key.verify_key) == seat.key != seat.node


def test_reveals_what_it_committed_itself_to() -> None:
    keys = epoch_keys(key_of("w"), MemoryStore())
    keys.make(1)
    seat = seated(keys, 1, first_seat())
    keys.retire(1, seat)
    keys.make(2)
    fresh = keys.fresh(2, seat)

    assert fresh is not None
    assert commitment_to(fresh.reveal) == seat.commitment
    assert fresh.commitment != seat.commitment


def test_destroys_the_key_of_an_epoch_that_is_over() -> None:
    store = MemoryStore()
    keys = epoch_keys(key_of("w"), store)
    store.write(keys.make(1))
    first = seated(keys, 1, first_seat())
    store.write(keys.make(2))
    second = seated(keys, 2, first)
    store.write(keys.retire(2, second))

    assert keys.key_of(first) is None
    assert keys.key_of(second) is not None
    assert len(list(store.scan(Table.EPOCH_SECRET.value))) == 1


def test_keeps_the_key_of_a_seat_that_it_kept_while_it_was_away() -> None:
    store = MemoryStore()
    keys = epoch_keys(key_of("w"), store)
    store.write(keys.make(1))
    first = seated(keys, 1, first_seat())
    store.write([*keys.make(2), *keys.retire(3, first)])

    assert keys.key_of(first) is not None
    keys.make(4)
    assert keys.fresh(4, first) is not None


def test_sits_out_when_its_secrets_are_lost() -> None:
    keys = epoch_keys(key_of("w"), MemoryStore())
    keys.make(1)
    seat = seated(keys, 1, first_seat())
    reinstalled = EpochKeys(key_of("w"), MemoryStore(), Random(8).randbytes)
    reinstalled.make(2)

    assert reinstalled.key_of(seat) is None
    assert reinstalled.fresh(2, seat) is None
