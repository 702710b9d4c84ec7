"""Accounts, payments and the ledger, over the control API."""

from typing import Any

from nacl.signing import SigningKey
from starlette.requests import Request
from starlette.responses import Response

from p2pgrid import keys
from p2pgrid.api.answers import json_answer
from p2pgrid.api.documents import format_time, to_json
from p2pgrid.api.fields import key_of, read_body, read_query, shown
from p2pgrid.api.services import Services
from p2pgrid.errors import BadInput, NotFound
from p2pgrid.limits.control import HISTORY_LISTED, LISTED_MAX
from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.ids import ID_BYTES, AccountId
from p2pgrid.model.operation import MEMO_BYTES_MAX, Transfer
from p2pgrid.units import Amount
from p2pgrid.wire.signed import is_usable_key

_ID_DIGITS = 2 * ID_BYTES


class MoneyRoutes:
    """Whose is what."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def wallets(self, _: Request) -> Response:
        """The accounts whose keys are kept here."""
        rows = []
        for name in keys.wallet_names(self._services.data):
            account = AccountId(bytes(self._key(name).verify_key))
            rows.append({"wallet": name, **await self._account(account)})
        return json_answer(rows)

    async def account(self, request: Request) -> Response:
        """One account, by the name of a wallet or by its id."""
        return json_answer(await self._account(self._named(request.path_params["account"])))

    async def history(self, request: Request) -> Response:
        """What went in and out of an account, the newest first."""
        limit = read_query(request, "limit").whole("limit", HISTORY_LISTED, most=LISTED_MAX)
        account = self._named(request.path_params["account"])
        entries = await self._services.ledger.history(account, limit=limit)
        return json_answer(
            [{**to_json(one), "time": format_time(one.time_ms)} for one in entries[:limit]]
        )

    async def pay(self, request: Request) -> Response:
        """Send money; answers when it is certified."""
        body = await read_body(request, "account", "amount", "wallet", "memo")
        key = self._key(body.text("wallet", keys.NODE_WALLET))
        memo = body.text("memo", "").encode()
        if len(memo) > MEMO_BYTES_MAX:
            raise BadInput(f"the memo has {len(memo)} bytes; at most {MEMO_BYTES_MAX} fit")
        receiver = self._named(body.text("account"))
        if not is_usable_key(receiver):
            raise BadInput(f"nobody can have the account {receiver.hex()}; is it complete?")
        amount = Amount(body.whole("amount", most=INTEGER_MAX))
        transfer = Transfer(outputs=((receiver, amount),), memo=memo)
        operation = await self._services.ledger.spend(transfer, key)
        after = await self._account(AccountId(bytes(key.verify_key)))
        return json_answer({"operation": operation, "balance": after["balance"]})

    async def ledger(self, _: Request) -> Response:
        """Totals, witnesses, quorum."""
        return json_answer(await self._services.ledger.status())

    async def evidence(self, _: Request) -> Response:
        """Proofs of double signing."""
        return json_answer(await self._services.ledger.evidence())

    def _key(self, wallet: str) -> SigningKey:
        return keys.open_wallet(self._services.data, wallet)

    def _named(self, text: str) -> AccountId:
        """The account that a person means: the name of a wallet, or 64 hex digits."""
        if len(text) == _ID_DIGITS:
            return AccountId(key_of(text))
        names = keys.wallet_names(self._services.data)
        if text not in names:
            raise NotFound(f"there is no wallet {shown(text)}; there are {', '.join(names)}")
        return AccountId(bytes(self._key(text).verify_key))

    async def _account(self, account: AccountId) -> dict[str, Any]:
        view: dict[str, Any] = to_json(await self._services.ledger.account(account))
        return view
