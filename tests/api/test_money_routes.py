"""Money goes where it was meant to go, in the amount that was meant, or nowhere."""

from dataclasses import replace

import pytest

from p2pgrid import keys
from p2pgrid.errors import BadInput, InsufficientBalance, Locked, NotFound, SignedElsewhere
from p2pgrid.ledger.payment_proof import check_proof, read_proof
from p2pgrid.ledger.views import HistoryEntry
from p2pgrid.model.ids import RecordId
from p2pgrid.sealed_key import Cost
from p2pgrid.units import TimestampMs
from tests.api.grid import BALANCE, GENESIS, ApiGrid

FEE = GENESIS.pricing.fee


async def test_a_payment_is_certified_and_shown_on_both_sides(grid: ApiGrid) -> None:
    body = {"account": grid.node.identity.upper(), "amount": 17, "memo": "lunch"}
    done = await grid.consumer.post("/payments", body)

    assert done["balance"] == BALANCE - 17 - FEE
    assert (await grid.node.get("/accounts/node"))["balance"] == 17
    (sent,) = await grid.consumer.get("/accounts/node/history")
    (got,) = await grid.node.get("/accounts/node/history")
    assert (sent["amount"], sent["fee"], sent["counterparty"]) == (-17, FEE, grid.node.identity)
    assert (got["amount"], got["memo"], got["operation"]) == (17, "lunch", done["operation"])
    assert got["time"].endswith("Z")


async def test_wallets_are_named_and_hold_their_own(grid: ApiGrid) -> None:
    made = keys.create_wallet(grid.consumer.services.data, "savings")
    await grid.consumer.post("/payments", {"account": "savings", "amount": 100})
    await grid.consumer.post("/payments", {"account": "node", "amount": 5, "wallet": "savings"})

    listed = {one["wallet"]: one for one in await grid.consumer.get("/wallets")}
    assert listed["savings"]["account"] == bytes(made.verify_key).hex()
    assert listed["savings"]["balance"] == 100 - 5 - FEE
    assert listed["node"]["balance"] == BALANCE - 100 - FEE + 5


@pytest.mark.parametrize("amount", [0, -5, 1.5, True, "5", [5], 2**63, 1e3])
async def test_an_amount_is_a_whole_number_of_units(grid: ApiGrid, amount: object) -> None:
    with pytest.raises(BadInput):
        await grid.consumer.post("/payments", {"account": grid.node.identity, "amount": amount})

    assert (await grid.consumer.get("/accounts/node"))["balance"] == BALANCE


@pytest.mark.parametrize(
    ("account", "error", "message"),
    [
        ("nobody", NotFound, "there is no wallet 'nobody'; there are node"),
        ("ab" * 31, NotFound, "there is no wallet"),
        ("zz" * 32, BadInput, "64 hex digits"),
        ("00" * 32, BadInput, "nobody can have the account"),
        ("02" + "00" * 31, BadInput, "nobody can have the account"),
    ],
)
async def test_money_for_nobody_stays_here(
    grid: ApiGrid, account: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await grid.consumer.post("/payments", {"account": account, "amount": 1})

    assert (await grid.consumer.get("/accounts/node"))["balance"] == BALANCE


async def test_what_cannot_be_paid_is_refused_and_leaves_nothing_pending(grid: ApiGrid) -> None:
    with pytest.raises(InsufficientBalance):
        await grid.consumer.post("/payments", {"account": "node", "amount": 2 * BALANCE})
    with pytest.raises(NotFound, match="there is no wallet 'empty'"):
        await grid.consumer.post("/payments", {"account": "node", "amount": 1, "wallet": "empty"})
    with pytest.raises(BadInput, match="memo has 66 bytes"):
        await grid.consumer.post("/payments", {"account": "node", "amount": 1, "memo": "é" * 33})

    assert (await grid.consumer.get("/accounts/node"))["pending"] is None


async def test_a_history_has_as_many_entries_as_wanted(grid: ApiGrid) -> None:
    for amount in (1, 2, 3):
        await grid.consumer.post("/payments", {"account": grid.node.identity, "amount": amount})

    for member in (grid.node, grid.consumer):
        newest = await member.get("/accounts/node/history", limit=2)
        assert [abs(one["amount"]) for one in newest] == [3, 2]
        assert await member.get("/accounts/node/history", limit=0) == []


async def test_a_payment_from_an_absurd_time_hides_no_history(
    grid: ApiGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever pays signs what time he likes."""
    entry = HistoryEntry(
        operation=RecordId(bytes(32)), time_ms=TimestampMs(0), kind="transfer", counterparty=None,
        amount=1, fee=0, status="certified", memo="",
    )  # fmt: skip

    async def history(*_: object, limit: int | None = None) -> list[HistoryEntry]:
        return [replace(entry, time_ms=TimestampMs(2**63 - 1)), entry]

    monkeypatch.setattr(type(grid.node.services.ledger), "history", history)
    shown = await grid.node.get("/accounts/node/history")

    assert [one["time"] for one in shown] == ["9999-12-31T23:59:59Z", "1970-01-01T00:00:00Z"]


async def test_the_ledger_is_told_alike_by_both(grid: ApiGrid) -> None:
    told = [await member.get("/ledger") for member in (grid.node, grid.consumer)]

    assert [one["supply"] for one in told] == [BALANCE, BALANCE]
    assert [await member.get("/ledger/evidence") for member in (grid.node, grid.consumer)] == [
        [],
        [],
    ]


async def test_a_sealed_wallet_pays_by_its_passphrase_only(grid: ApiGrid) -> None:
    data = grid.consumer.services.data
    made = keys.create_wallet(data, "safe", passphrase="x", cost=Cost(1, 8192))
    await grid.consumer.post("/payments", {"account": "safe", "amount": 1000})
    body = {"account": "node", "amount": 5, "wallet": "safe"}

    with pytest.raises(Locked, match="give its passphrase"):
        await grid.consumer.post("/payments", body)
    with pytest.raises(BadInput, match="passphrase is wrong"):
        await grid.consumer.post("/payments", {**body, "passphrase": "y"})
    await grid.consumer.post("/payments", {**body, "passphrase": "x"})

    listed = {one["wallet"]: one for one in await grid.consumer.get("/wallets")}
    assert listed["safe"]["balance"] == 1000 - 5 - FEE
    assert listed["safe"]["account"] == bytes(made.verify_key).hex()
    assert (listed["safe"]["is_sealed"], listed["node"]["is_sealed"]) == (True, False)


async def test_an_address_is_as_good_as_an_id(grid: ApiGrid) -> None:
    address = (await grid.node.get("/accounts/node"))["address"]

    await grid.consumer.post("/payments", {"account": address.upper(), "amount": 17})

    assert (await grid.consumer.get(f"/accounts/{address}"))["balance"] == 17
    with pytest.raises(BadInput, match="copy it again"):
        await grid.consumer.post("/payments", {"account": address[:-1] + "b", "amount": 1})


async def test_a_history_is_filtered_before_it_is_cut(grid: ApiGrid) -> None:
    keys.create_wallet(grid.consumer.services.data, "savings")
    for amount, to in ((1, "savings"), (2, grid.node.identity), (3, grid.node.identity)):
        await grid.consumer.post("/payments", {"account": to, "amount": amount})

    async def amounts(**query: object) -> list[int]:
        found = await grid.consumer.get("/accounts/node/history", limit=1, **query)
        return [-one["amount"] for one in found]

    assert await amounts(**{"with": "savings"}) == [1]
    assert await amounts(**{"with": grid.node.identity}) == [3]
    assert await amounts(kind="transfer") == [3]
    assert await amounts(kind="mint") == []
    assert await amounts(before_ms=1) == []
    assert await amounts(since_ms=1) == [3]


async def test_a_wallet_that_was_used_on_another_machine_pays_only_when_told_so(
    grid: ApiGrid,
) -> None:
    here, there = grid.consumer, grid.node
    made = keys.create_wallet(here.services.data, "savings")
    keys.create_wallet(there.services.data, "savings", key=made)
    await here.post("/payments", {"account": "savings", "amount": 100_000})
    pay = {"account": there.identity, "amount": 5, "wallet": "savings"}
    await here.post("/payments", pay)
    await here.post("/payments", pay)

    with pytest.raises(SignedElsewhere, match="on another machine"):
        await there.post("/payments", pay)
    assert (await there.get("/accounts/savings"))["pending"] is None
    await there.post("/payments", {**pay, "take_over": True})
    await there.post("/payments", pay)
    with pytest.raises(SignedElsewhere):
        await here.post("/payments", pay)
    assert (await here.get("/accounts/savings"))["sequence"] == 4


async def test_a_ledger_is_verified_where_it_is_stored(grid: ApiGrid) -> None:
    await grid.consumer.post("/payments", {"account": "node", "amount": 17})
    found = await grid.node.result("/ledger/verify", {})

    assert found["is_sound"]
    assert found["supply"] == BALANCE
    assert found["checks"][1]["count"] == 1
    with pytest.raises(BadInput, match="light peer"):
        await grid.consumer.result("/ledger/verify", {})


async def test_a_payment_is_proven_by_a_file(grid: ApiGrid) -> None:
    paid = await grid.consumer.post("/payments", {"account": grid.node.identity, "amount": 17})

    for digits in (paid["operation"], paid["operation"][:10].upper()):
        for member in (grid.consumer, grid.node):
            data = await member.read(f"/ledger/proofs/{digits}")
            proven = check_proof(read_proof(data), GENESIS)
            assert proven.id.hex() == paid["operation"]
    for digits in ("ff" * 32, "zz"):
        with pytest.raises(NotFound):
            await grid.node.read(f"/ledger/proofs/{digits}")
    with pytest.raises(BadInput, match="which operation"):
        await grid.node.read("/ledger/proofs/")
