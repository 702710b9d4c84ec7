"""Numbers of kinds keep ids and signatures apart, so no two share one, in any form."""

from p2pgrid.wire.kinds import RecordKind


def test_every_kind_has_a_person_of_its_own_that_fits_blake2b() -> None:
    persons = {kind.person for kind in RecordKind}

    assert len(persons) == len(RecordKind)
    assert all(len(person) <= 16 for person in persons)


def test_every_kind_fits_the_byte_that_is_signed() -> None:
    assert all(0 < kind < 256 for kind in RecordKind)


def test_numbers_never_change() -> None:
    """They are part of every id and signature ever made. New ones go to the end."""
    numbers = {kind.name: int(kind) for kind in RecordKind}

    assert numbers["GENESIS"] == 1
    assert numbers["NODE_ANNOUNCEMENT"] == 10
    assert numbers["OPERATION"] == 30
    assert numbers["RESERVATION_REQUEST"] == 50
