"""Names that people use: never the wrong thing, and when in doubt, ask back."""

from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.api.explorer_access import ExplorerAccess, only_one
from p2pgrid.errors import BadInput, NotFound
from p2pgrid.explorer.query import (
    FarmView,
    NodeFilter,
    NodePage,
    NodeSort,
    NodeView,
    select_nodes,
)
from p2pgrid.explorer.selection import Cut
from p2pgrid.explorer.service import ExplorerService
from p2pgrid.explorer.view import View
from p2pgrid.model.flist import FlistName, FlistReference
from p2pgrid.model.ids import FlistId, NodeId
from tests.explorer.grid import NOW, announced, farm_record, flist_name, node_of

FLIST, OTHER = FlistId(b"1" * 32), FlistId(b"2" * 32)


def row(number: int, **changes: Any) -> NodeView:
    view = View()
    for record in (announced(number), farm_record()):
        view.accept(record, NOW)
    return replace(view.nodes(NodeFilter(), now_ms=NOW, sort=NodeSort.ID)[0], **changes)


def named(number: int, title: str, flist: FlistId | None = FLIST) -> FlistName:
    return cast(FlistName, flist_name(number, title, flist).record)


@dataclass
class Explorer:
    """Answers from lists, as the real one does from its view, and counts the questions."""

    rows: list[NodeView] = field(default_factory=list)
    known_farms: list[FarmView] = field(default_factory=list)
    names: list[FlistName] = field(default_factory=list)
    questions: int = 0

    def page(self, wanted: NodeFilter, cut: Cut) -> NodePage:
        self.questions += 1
        found = select_nodes(self.rows, wanted, cut.sort)
        return NodePage(found[: cut.limit], len(found))

    def farms(self, wanted: str) -> tuple[FarmView, ...]:
        return tuple(
            one
            for one in self.known_farms
            if one.title.casefold() == wanted.casefold() or one.farm.hex().startswith(wanted)
        )

    def flist_names(self, title: str) -> tuple[FlistName, ...]:
        return tuple(one for one in self.names if title in ("", one.title))

    def holders(self, flist: FlistId) -> tuple[NodeId, ...]:
        return ()


def access(explorer: Explorer) -> ExplorerAccess:
    return ExplorerAccess(cast(ExplorerService, explorer))


async def resolved(explorer: Explorer, text: str) -> FlistId:
    return await access(explorer).resolve(FlistReference.parse(text))


async def test_a_node_is_found_by_its_first_digits() -> None:
    explorer = Explorer(rows=[row(1), row(2)])

    found = await access(explorer).one_node(node_of(2).hex()[:10].upper())

    assert found.node == node_of(2)


async def test_digits_that_fit_several_nodes_are_asked_back() -> None:
    same = NodeId(node_of(1)[:4] + bytes(28))
    explorer = Explorer(rows=[row(1), row(1, node=same)])

    with pytest.raises(BadInput, match="could be several") as refusal:
        await access(explorer).one_node(same.hex()[:8])

    assert same.hex()[:16] in str(refusal.value)
    assert node_of(1).hex()[:16] in str(refusal.value)


@pytest.mark.parametrize("wanted", ["zz", "é", "a/b", "f" * 65])
async def test_what_is_no_node_is_not_found(wanted: str) -> None:
    with pytest.raises(NotFound, match="there is no node"):
        await access(Explorer(rows=[row(1)])).one_node(wanted)


async def test_an_empty_name_means_nothing() -> None:
    """Not the only node or farm that there happens to be."""
    explorer = Explorer(rows=[row(1)])

    with pytest.raises(BadInput, match="which node"):
        await access(explorer).one_node("")
    with pytest.raises(BadInput, match="which farm"):
        await access(explorer).one_farm("")


async def test_names_that_nobody_can_have_are_refused() -> None:
    with pytest.raises(ValueError, match="control"):
        await access(Explorer()).one_farm("a\x1b[2J")
    with pytest.raises(ValueError, match="longer than"):
        await access(Explorer()).one_farm("a" * 10_000)


async def test_an_id_needs_no_explorer() -> None:
    assert await resolved(Explorer(), FLIST.hex()) == FLIST


async def test_an_image_is_found_by_its_publisher_in_digits() -> None:
    explorer = Explorer(names=[named(1, "web"), named(2, "web", OTHER)])

    assert await resolved(explorer, f"{node_of(2).hex()[:8]}/web:1") == OTHER
    assert await resolved(explorer, f"{node_of(1).hex().upper()[:8]}/web:1") == FLIST


async def test_an_image_is_found_by_the_name_of_a_farm_that_confirms_the_publisher() -> None:
    explorer = Explorer(
        rows=[
            row(1, farm_name="Acme", is_confirmed=True),
            row(2, farm_name="Acme", is_confirmed=False),  # anybody may claim a farm
        ],
        names=[named(1, "web"), named(2, "web", OTHER)],
    )

    assert await resolved(explorer, "acme/web:1") == FLIST


async def test_the_first_digits_of_a_farm_are_no_name_of_it() -> None:
    member = row(1, farm_name="Acme", is_confirmed=True)
    explorer = Explorer(rows=[member], names=[named(1, "web")])

    with pytest.raises(NotFound, match="there is no image"):
        await resolved(explorer, f"{member.farm.hex()[:6]}/web:1")


async def test_many_publishers_of_one_title_cost_one_question() -> None:
    """Who publishes a popular title a thousand times does not slow others down."""
    explorer = Explorer(
        rows=[row(1, farm_name="Acme", is_confirmed=True)],
        names=[named(number, "web") for number in range(1, 100)],
    )

    assert await resolved(explorer, "acme/web:1") == FLIST
    assert explorer.questions == 1


async def test_without_a_publisher_the_title_must_be_unique() -> None:
    assert await resolved(Explorer(names=[named(1, "web")]), "web:1") == FLIST
    with pytest.raises(BadInput, match="say which") as refusal:
        await resolved(Explorer(names=[named(1, "web"), named(2, "web", OTHER)]), "web:1")
    assert f"{node_of(1).hex()[:16]}/web:1" in str(refusal.value)


async def test_a_missing_tag_names_those_there_are() -> None:
    with pytest.raises(NotFound, match="has no tag 'latest'; it has 1"):
        await resolved(Explorer(names=[named(1, "web")]), f"{node_of(1).hex()[:8]}/web")


async def test_a_withdrawn_name_is_no_name() -> None:
    with pytest.raises(NotFound, match="there is no image"):
        await resolved(Explorer(names=[named(1, "web", None)]), "web:1")


@given(st.lists(st.text(min_size=1), max_size=20))
def test_one_is_given_only_when_there_is_one(rows: list[str]) -> None:
    if len(rows) == 1:
        assert only_one(rows, "thing", rows) == rows[0]
    else:
        with pytest.raises(BadInput if rows else NotFound) as refusal:
            only_one(rows, "thing", ["x"] * len(rows))
        assert len(str(refusal.value)) < 100
