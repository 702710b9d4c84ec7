"""Every path is answered, and every refusal is a JSON document with its status."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pgrid.gridproxy.routes import PATHS, answer, needs_gpus, needs_ledger
from p2pgrid.model.node import Feature
from tests.explorer.grid import announced, node_of
from tests.gridproxy.world import ESCROWS, World, view_of, world


def concrete(path: str) -> str:
    identity = ESCROWS[0].id if path.startswith("/contracts") else node_of(3)
    return path.replace("{id}", identity.hex())


@pytest.mark.parametrize("path", PATHS)
def test_every_path_is_answered(path: str) -> None:
    told = world().ask(concrete(path))
    assert told.status == 200
    assert told.body().decode()
    assert path in world().ask("/").document
    assert world().ask(concrete(path) + "/").document == told.document


@pytest.mark.parametrize("path", PATHS)
def test_no_path_ignores_a_field(path: str) -> None:
    grid = world()
    assert "no 'nonsense'" in grid.refusal(concrete(path), nonsense="1")
    is_list = "{id}" not in path and path not in ("/stats", "/public_ips")
    if is_list:
        assert "balance: prices here" in grid.refusal(concrete(path), balance="5")


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/nodes/1/2", "/contracts/1/2", "/gateways/1/gpu", "/ping/x", "//", "/nodes//x"],
)
def test_other_paths_are_not_found(path: str) -> None:
    told = world().ask(path)
    if path == "//":
        assert told.status == 200, "an empty name is the root"
    else:
        assert (told.status, list(told.document)) == (404, ["error"])


def test_how_the_node_is() -> None:
    grid = world().grid()
    assert world().ask("/version").document == {"version": "1.2.3"}
    assert world().ask("/ping").document == {"ping": "pong"}
    assert world().ask("/health").document == {
        "total_state_ok": True, "db_conn": "ok", "rmb_conn": "ok", "indexers": {},
    }  # fmt: skip
    assert grid.peers


def test_only_some_answers_need_the_whole_ledger() -> None:
    assert [path for path in PATHS if needs_ledger(path)] == [
        "/contracts", "/contracts/{id}", "/contracts/{id}/bills", "/twins", "/stats",
    ]  # fmt: skip


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_request_has_an_answer(path: str, query: str) -> None:
    grid = World(view_of([announced(1, features=(Feature.GPU,))])).grid()
    told = answer(grid, path, query, Random(1))
    assert told.status in (200, 400, 404)
    assert told.body()


def test_who_looks_for_gpus_is_known_however_it_is_written() -> None:
    assert needs_gpus("size=1&gpu_vendor_id=1002")
    assert needs_gpus("gp%75%5fvendor_id=1002")
    assert not needs_gpus("has_gpu=true&num_gpu=2")
