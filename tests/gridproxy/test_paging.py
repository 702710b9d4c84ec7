"""Pages are cut as was asked for, and what makes no sense is refused."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.errors import BadInput
from p2pgrid.gridproxy.paging import Paging, Sorts, read_paging
from p2pgrid.gridproxy.parameters import read_query
from p2pgrid.limits.gridproxy import PAGE_ROWS, PAGE_ROWS_MAX, PAGES_MAX

SORTS = Sorts(("name", "age"), {"fame": "nobody measures it"})


def read(query: str) -> Paging:
    return read_paging(read_query(query), SORTS)


def test_what_is_not_said_is_as_gridproxy_has_it() -> None:
    assert read("") == Paging(size=50, page=1) == Paging(size=PAGE_ROWS)
    assert read("ret_count=false").headers(7) == {}


def test_all_of_it_can_be_said() -> None:
    text = "size=3&page=2&ret_count=true&randomize=1&sort_by=AGE&sort_order=desc"
    assert read(text) == Paging(
        size=3, page=2, is_counted=True, is_random=True, sort_by="age", is_descending=True
    )


@pytest.mark.parametrize(
    "query",
    [
        "size=0", f"size={PAGE_ROWS_MAX + 1}", "size=-1", "size=x", "size=", "size=1&size=2",
        "page=0", f"page={PAGES_MAX + 1}", "page=1.5", "ret_count=yes", "randomize=", "sort_by=",
        "sort_by=beauty", "sort_by=fame", "sort_order=up", "sort_order=",
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_name(query: str) -> None:
    with pytest.raises(BadInput, match=query.partition("=")[0]):
        read(query)


@given(
    st.lists(st.integers(0, 5), max_size=40), st.integers(1, 9), st.booleans(), st.integers(0, 9)
)
def test_pages_together_are_all_rows_in_order(
    keys: list[int], size: int, is_descending: bool, seed: int
) -> None:
    column, rows = np.array(keys, np.int64), np.arange(len(keys))
    pages = range(1, len(keys) // size + 3)

    def cut(page: int) -> list[int]:
        paging = Paging(size=size, page=page, is_descending=is_descending)
        return list(map(int, paging.cut(rows, [column.__getitem__, lambda some: some], Random(1))))

    found = [row for page in pages for row in cut(page)]
    sign = -1 if is_descending else 1
    assert found == sorted(range(len(keys)), key=lambda row: (sign * keys[row], row))
    shuffled = Paging(size=size, page=1, is_random=True).cut(rows, (), Random(seed))
    assert len(set(shuffled)) == len(shuffled) == min(size, len(keys))


def test_headers_count_rows_and_pages() -> None:
    paging = Paging(size=10, is_counted=True)
    assert paging.headers(21) == {"count": "21", "size": "10", "pages": "3"}
    assert paging.headers(0)["pages"] == "0"
