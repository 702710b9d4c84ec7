"""A number is the beginning of an id, and means nothing that it does not say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadInput
from p2pgrid.gridproxy.numbers import (
    Named,
    any_named,
    equal,
    id_column,
    number_of,
    numbers_of,
    order_of,
    read_named,
)

JAVASCRIPT_INTEGER_MAX = 2**53 - 1
ids = st.one_of(
    st.binary(min_size=32, max_size=32),
    st.builds(lambda head: head + bytes(30), st.binary(min_size=2, max_size=2)),
)


@given(st.lists(ids, min_size=1))
def test_columns_have_the_numbers_of_their_ids(some: list[bytes]) -> None:
    column = id_column(some)
    assert list(numbers_of(column)) == [number_of(one) for one in some]
    assert [number_of(one) for one in some] == [int(one.hex()[:13], 16) for one in some]
    assert max(map(number_of, some)) <= JAVASCRIPT_INTEGER_MAX


@given(st.lists(ids, min_size=1))
def test_the_order_is_that_of_the_ids(some: list[bytes]) -> None:
    first, second = order_of(id_column(some))
    assert [some[row][:15] for row in np.lexsort([second, first])] == sorted(
        one[:15] for one in some
    )


@given(st.lists(ids, min_size=1, unique=True))
def test_a_whole_id_means_one(some: list[bytes]) -> None:
    column = id_column(some)
    for place, identity in enumerate(some):
        assert list(np.flatnonzero(read_named(identity.hex(), "it").among(column))) == [place]
        assert read_named(str(number_of(identity)), "it").among(column)[place]
        assert list(np.flatnonzero(equal(column, identity))) == [place]


def test_many_may_be_named_at_once() -> None:
    some = [bytes([number]) * 32 for number in range(1, 6)]
    column = id_column(some)
    wanted = [read_named(text, "it") for text in (str(number_of(some[1])), some[3].hex())]
    assert list(np.flatnonzero(any_named(column, wanted))) == [1, 3]
    assert not any_named(column, []).any()
    other = read_named(some[0].hex()[:-1] + "f", "it")
    assert not any_named(column, [other]).any(), "an id counts as a whole"


def test_a_number_of_several_is_refused() -> None:
    column = id_column([b"\x01" * 8 + bytes(24), b"\x01" * 32])
    everyone = np.ones(2, np.bool_)
    named = Named(number_of(bytes(column[0])), None)
    with pytest.raises(BadInput, match="stands for several nodes; give the id"):
        named.one_of(column, everyone, "node")
    assert named.one_of(column, np.array([False, True]), "node") == 1
    assert named.one_of(column, ~everyone, "node") is None


@pytest.mark.parametrize("text", ["", "-1", "+1", "1 ", "0x1", "1" * 20, "g" * 64, "١"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match="it is a whole number, or an id of 64 hex digits"):
        read_named(text, "it")
