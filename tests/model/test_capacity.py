"""Amounts add up, and never go below nothing."""

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import InvalidRecord
from p2pgrid.model.capacity import Capacity
from tests.strategies import capacities

RESOURCES = [field.name for field in fields(Capacity)]


@given(capacities, capacities, capacities)
def test_it_is_a_sum(a: Capacity, b: Capacity, c: Capacity) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Capacity() == a


@given(capacities, capacities)
def test_what_is_taken_and_what_is_left_are_the_whole(a: Capacity, b: Capacity) -> None:
    assert (a + b).less(b) == a
    assert a.less(a + b) == Capacity()
    assert a.less(b).fits_in(a)


@given(capacities, capacities)
def test_fitting_is_at_most_as_much_of_everything(a: Capacity, b: Capacity) -> None:
    assert a.fits_in(a + b)
    assert a.fits_in(b) == all(getattr(a, one) <= getattr(b, one) for one in RESOURCES)


@given(capacities, st.sampled_from(RESOURCES))
def test_what_is_lacking_is_named(room: Capacity, resource: str) -> None:
    wanted = replace(room, **{resource: getattr(room, resource) + 1})
    assert wanted.lacking_in(room) == (resource,)


@pytest.mark.parametrize("resource", RESOURCES)
def test_nothing_is_negative(resource: str) -> None:
    with pytest.raises(InvalidRecord, match=resource):
        Capacity(**{resource: -1})
