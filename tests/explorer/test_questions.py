"""Pages together give every row once, and each of them is bounded."""

import pytest

from p2pgrid.errors import BrokenProtocol
from p2pgrid.explorer import questions
from p2pgrid.explorer.query import NodeFilter, NodeSort
from p2pgrid.explorer.questions import (
    AskFarms,
    AskFlistNames,
    AskHolders,
    AskNodes,
    Query,
    Question,
    page_of,
)
from p2pgrid.explorer.records import verify_record
from p2pgrid.explorer.view import View
from p2pgrid.model.capacity import Capacity
from p2pgrid.model.ids import FlistId
from p2pgrid.wire.codec import decode, encode
from tests.explorer.grid import (
    GRID,
    NOW,
    announced,
    farm_members,
    farm_record,
    flist_name,
    holdings,
    updated,
)

FLIST = FlistId(bytes(32))


def view_of_many() -> View:
    view = View()
    for number in range(1, 30):
        for record in (
            announced(number),
            updated(number, Capacity(millicores=number)),
            holdings(number, FLIST),
            flist_name(number, "web", FLIST),
        ):
            view.accept(record, NOW)
    view.accept(farm_record(), NOW)
    view.accept(farm_members(1, 2), NOW)
    return view


def copy_of(view: View, question: Question) -> View:
    """What an asker knows after all pages."""
    copy, skip, left = View(), 0, 1
    while left:
        page = page_of(view, question, skip, NOW)
        assert page.rows > 0
        assert len(set(page.records)) == len(page.records)
        for envelope in page.records:
            signed = verify_record(envelope, GRID)
            assert signed is not None
            copy.accept(signed, NOW)
        skip, left = skip + page.rows, page.rows_left
    return copy


@pytest.mark.parametrize("rows_max", [1, 7, 1000])
def test_the_asker_sees_the_same_rows(monkeypatch: pytest.MonkeyPatch, rows_max: int) -> None:
    monkeypatch.setattr(questions, "QUERY_ROWS_MAX", rows_max)
    view = view_of_many()
    ask = AskNodes(NodeFilter(free=Capacity(millicores=5)), NodeSort.CORES)
    copy = copy_of(view, ask)
    assert copy.nodes(now_ms=NOW, sort=NodeSort.CORES) == view.nodes(
        ask.wanted, now_ms=NOW, sort=NodeSort.CORES
    )
    assert copy_of(view, AskFarms("acme")).farms(now_ms=NOW) == view.farms(now_ms=NOW)
    assert copy_of(view, AskFlistNames("web")).flist_names(now_ms=NOW) == view.flist_names(
        now_ms=NOW
    )
    assert copy_of(view, AskHolders(FLIST)).holders(FLIST, now_ms=NOW) == view.holders(
        FLIST, now_ms=NOW
    )


def test_a_page_has_a_size_limit_but_at_least_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(questions, "RECONCILE_ANSWER_BYTES_MAX", 2000)
    view = view_of_many()
    ask = AskNodes(NodeFilter(), NodeSort.ID)
    page = page_of(view, ask, 0, NOW)
    assert 0 < sum(map(len, page.records)) <= 2000
    assert page.rows + page.rows_left == 29
    monkeypatch.setattr(questions, "RECONCILE_ANSWER_BYTES_MAX", 1)
    assert page_of(view, ask, 0, NOW).rows == 1
    assert len(copy_of(view, ask)) == 29 * 2 + 2


def test_nothing_found_is_an_empty_page() -> None:
    page = page_of(View(), AskFarms(""), 0, NOW)
    assert (page.records, page.rows, page.rows_left) == ((), 0, 0)


def test_skipping_more_than_there_is_is_refused() -> None:
    with pytest.raises(BrokenProtocol):
        page_of(View(), AskFarms(""), 1, NOW)


def test_questions_travel() -> None:
    for question in (AskNodes(NodeFilter(), NodeSort.ID), AskFarms("x"), AskHolders(FLIST)):
        assert decode(Query, encode(Query(question, 3))) == Query(question, 3)
