"""A farm changes in what its farmer says, and in nothing else."""

from typing import Any

from p2pgrid.cli.farms import farms
from tests.cli.node import FakeClient, run

FARM = "aa" * 32
ONE: dict[str, Any] = {
    "farm": FARM, "title": "Green Valley", "payout": "bb" * 32, "price_permille": 825,
    "nodes": ["11" * 32, "22" * 32], "age_ms": 5000, "is_contradicted": False,
}  # fmt: skip


def test_what_is_not_said_is_not_sent() -> None:
    """So that a new name does not change where the money goes."""
    client = FakeClient({"/farms": ONE})

    text = run(farms, "create", "Green Valley", client=client).stdout

    ((_, body),) = client.calls
    assert body == {"name": "Green Valley", "payout": None, "price_percent": None, "members": ()}
    assert f"it is paid to {'bb' * 32}" in text
    assert f"p2pgrid node run --farm {FARM}" in text


def test_prices_are_within_what_a_farm_may_ask() -> None:
    for price in ("9", "1001", "nan", "x"):
        client = FakeClient({"/farms": ONE})
        result = run(farms, "create", "Green Valley", "--price", price, client=client)
        assert result.exit_code == 2
        assert client.calls == []


def test_a_farm_is_shown_with_all_its_nodes() -> None:
    client = FakeClient({"/farms/Green%20Valley%2F2": ONE})

    lines = run(farms, "show", "Green Valley/2", client=client).stdout.splitlines()

    assert "price    82.5 % of the grid's" in lines
    assert lines[-2:] == [f"nodes    {'11' * 32}", f"         {'22' * 32}"]


def test_a_farm_that_is_proved_to_lie_is_marked() -> None:
    liar = {**ONE, "is_contradicted": True}

    listed = run(farms, "list", client=FakeClient({"/farms": [ONE, liar]})).stdout
    shown = run(farms, "show", "x", client=FakeClient({"/farms/x": liar})).stdout

    assert listed.count("Green Valley !") == listed.count("!") == 1
    assert "proved   it told different things at once\n" in shown


def test_farms_are_listed() -> None:
    assert (
        "aaaaaaaa  Green Valley      2"
        in run(farms, "list", client=FakeClient({"/farms": [ONE]})).stdout
    )
    empty = run(farms, "list", client=FakeClient({"/farms": []})).stdout
    assert "p2pgrid farms create NAME" in empty
