"""Columns are brought up to date when they are asked for, and only in what changed."""

import pytest
import trio.testing

from p2pgrid.crdt.register import Contradiction, RegisterKey, Registers, register_key
from p2pgrid.explorer import service
from p2pgrid.explorer.contradictions import Contradictions
from p2pgrid.explorer.fresh_columns import FreshColumns
from p2pgrid.explorer.query import NodeFilter, NodeSort
from p2pgrid.explorer.questions import AskNodes, Page, Query
from p2pgrid.explorer.records import ExplorerRecord
from p2pgrid.net.network import Method
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.kinds import RecordKind
from tests.explorer.grid import FARM, TOTAL, announced, farm_record, node_of, updated
from tests.explorer.peers import open_grid


def test_what_changed_is_in_the_columns_when_they_are_asked_for() -> None:
    registers: Registers[ExplorerRecord] = Registers()
    columns = FreshColumns(registers, Contradictions())
    for signed in (announced(1), updated(1, TOTAL), farm_record()):
        registers.put(register_key(signed), signed)
        columns.note_record(register_key(signed))
    found = columns.now()
    assert found.nodes["node"].tolist() == [node_of(1)]
    assert found.nodes["free_millicores"].tolist() == [TOTAL.millicores]
    assert list(found.titles.values()) == ["acme"]
    key = register_key(announced(1))
    registers.drop(key)
    assert len(columns.now()) == 1  # it was not told
    columns.note_record(key)
    assert len(columns.now()) == 0


def test_a_whole_grid_is_brought_by_the_slice() -> None:
    registers: Registers[ExplorerRecord] = Registers()
    columns = FreshColumns(registers, Contradictions())
    assert not columns.bring(1)
    for signed in (announced(1), announced(2), farm_record()):
        registers.put(register_key(signed), signed)
        columns.note_record(register_key(signed))
    assert [columns.bring(2), columns.bring(2)] == [True, False]
    assert len(columns.now()) == 2


async def test_who_asks_first_leaves_others_their_turns(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr(service, "COLUMNS_SLICE", 1)
    async with open_grid(1, 2, 3) as grid:
        for number in (1, 2, 3):
            await grid.publish(number)
        light = await grid.world.join(66)
        columns, sizes = grid.explorers[1].view.columns, list[int]()
        bring = columns.bring

        def noted(most: int) -> bool:
            sizes.append(most)
            return bring(most)

        monkeypatch.setattr(columns, "bring", noted)
        question = encode(Query(AskNodes(NodeFilter(), NodeSort.ID)))
        told = decode(Page, await light.request(node_of(1), Method.EXPLORER_QUERY, question))
    assert told.rows == 3
    assert sizes == [1, 1, 1, 0], "nothing is left to the answer itself"


def test_a_proof_marks_the_node_and_the_farm_of_its_author() -> None:
    registers: Registers[ExplorerRecord] = Registers()
    proofs = Contradictions()
    columns = FreshColumns(registers, proofs)
    for signed in (announced(1), farm_record()):
        registers.put(register_key(signed), signed)
        columns.note_record(register_key(signed))
    columns.now()
    for author in (node_of(1), FARM):
        key = RegisterKey(RecordKind.FLIST_NAME, author, b"x")
        proofs.add(key, Contradiction(b"", b""))
        columns.note_proof(author)
    found = columns.now()
    assert found.nodes["is_contradicted"].tolist() == [True]
    farms = dict(zip(found.farms["farm"].tolist(), found.farms["is_contradicted"], strict=True))
    assert farms[FARM]
