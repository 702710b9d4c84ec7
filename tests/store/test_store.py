"""The end of a prefix is right after everything that starts with it."""

from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.store.store import end_of


@given(st.binary(max_size=4), st.binary(max_size=4))
def test_the_end_of_a_prefix_separates_what_starts_with_it(prefix: bytes, key: bytes) -> None:
    end = end_of(prefix)
    is_inside = prefix <= key and (end is None or key < end)
    assert is_inside == key.startswith(prefix)
