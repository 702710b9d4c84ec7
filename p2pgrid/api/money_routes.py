"""Accounts, payments and the ledger, over the control API."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import trio
from nacl.signing import SigningKey
from starlette.requests import Request
from starlette.responses import Response

from p2pgrid import keys
from p2pgrid.api.answers import OnProgress, ProgressAnswer, json_answer
from p2pgrid.api.documents import format_time, to_json
from p2pgrid.api.fields import Fields, Json, account_key, key_of, read_body, read_query, shown
from p2pgrid.api.services import Services
from p2pgrid.errors import BadInput, NotFound
from p2pgrid.ledger.payment_proof import write_proof
from p2pgrid.ledger.service import LedgerService
from p2pgrid.ledger.views import HistoryEntry
from p2pgrid.limits.control import HISTORY_LISTED, LISTED_MAX
from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.address import format_account, looks_like_address
from p2pgrid.model.ids import ID_BYTES, AccountId, RecordId
from p2pgrid.model.operation import MEMO_BYTES_MAX, Transfer
from p2pgrid.units import Amount
from p2pgrid.wire.signed import is_usable_key

_ID_DIGITS = 2 * ID_BYTES
_PAYMENT = ("account", "amount", "wallet", "memo", "passphrase", "take_over")
_HISTORY_FILTERS = ("since_ms", "before_ms", "kind", "with")


class MoneyRoutes:
    """Whose is what."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def wallets(self, _: Request) -> Response:
        """The accounts whose keys are kept here."""
        data = self._services.data
        rows = []
        for name in keys.wallet_names(data):
            view = await self._account(AccountId(keys.account_of(data, name)))
            rows.append({"wallet": name, "is_sealed": keys.is_sealed(data, name), **view})
        return json_answer(rows)

    async def account(self, request: Request) -> Response:
        """One account, by the name of a wallet or by its id."""
        return json_answer(await self._account(self._named(request.path_params["account"])))

    async def history(self, request: Request) -> Response:
        """What went in and out of an account, the newest first."""
        query = read_query(request, "limit", *_HISTORY_FILTERS)
        limit = query.whole("limit", HISTORY_LISTED, most=LISTED_MAX)
        account = self._named(request.path_params["account"])
        is_wanted = self._wanted(query)
        searched = LISTED_MAX if any(map(query.has, _HISTORY_FILTERS)) else limit
        entries = await self._services.ledger.history(account, limit=searched)
        found = [one for one in entries if is_wanted(one)][:limit]
        return json_answer([{**to_json(one), "time": format_time(one.time_ms)} for one in found])

    def _wanted(self, query: Fields) -> Callable[[HistoryEntry], bool]:
        """Which entries of a history the query asks for."""
        since_ms = query.whole("since_ms", 0, most=INTEGER_MAX)
        before_ms = None  # whoever pays signs what time he likes, to the last that there is
        if query.has("before_ms"):
            before_ms = query.whole("before_ms", most=INTEGER_MAX)
        kind = query.text("kind", "")
        other = self._named(query.text("with")) if query.has("with") else None

        def is_wanted(one: HistoryEntry) -> bool:
            return (
                since_ms <= one.time_ms
                and (before_ms is None or one.time_ms < before_ms)
                and kind in ("", one.kind)
                and other in (None, one.counterparty)
            )

        return is_wanted

    async def pay(self, request: Request) -> Response:
        """Send money; answers when it is certified."""
        body = await read_body(request, *_PAYMENT)
        memo = body.text("memo", "").encode()
        if len(memo) > MEMO_BYTES_MAX:
            raise BadInput(f"the memo has {len(memo)} bytes; at most {MEMO_BYTES_MAX} fit")
        receiver = self._named(body.text("account"))
        if not is_usable_key(receiver):
            raise BadInput(f"nobody can have the account {receiver.hex()}; is it complete?")
        amount = Amount(body.whole("amount", most=INTEGER_MAX))
        transfer = Transfer(outputs=((receiver, amount),), memo=memo)
        key = await opened_wallet(self._services, body, keys.NODE_WALLET)
        takes_over = body.flag("take_over")
        operation = await self._services.ledger.spend(transfer, key, takes_over=takes_over)
        after = await self._account(AccountId(bytes(key.verify_key)))
        return json_answer({"operation": operation, "balance": after["balance"]})

    async def ledger(self, _: Request) -> Response:
        """Totals, witnesses, quorum."""
        return json_answer(await self._services.ledger.status())

    async def proof(self, request: Request) -> Response:
        """The file that proves an operation, by its id or the first digits of one of ours."""
        text = request.path_params["operation"].casefold()
        proof = await self._services.ledger.proof(await self._operation(text))
        return Response(write_proof(proof), media_type="application/octet-stream")

    async def _operation(self, text: str) -> RecordId:
        """The operation that a person means. Raises NotFound, BadInput."""
        if len(text) == _ID_DIGITS:
            return RecordId(key_of(text))
        if not text:
            raise BadInput("which operation? give the first digits of its id")
        found: set[RecordId] = set()
        for name in keys.wallet_names(self._services.data):
            account = AccountId(keys.account_of(self._services.data, name))
            entries = await self._services.ledger.history(account, limit=LISTED_MAX)
            found |= {one.operation for one in entries if one.operation.hex().startswith(text)}
        if not found:
            raise NotFound(f"no operation of your wallets starts with {shown(text)}")
        if len(found) > 1:
            raise BadInput(f"{shown(text)} could be {len(found)} operations; give more digits")
        return found.pop()

    async def evidence(self, _: Request) -> Response:
        """Proofs of double signing."""
        return json_answer(await self._services.ledger.evidence())

    async def verify(self, _: Request) -> Response:
        """Recompute the ledger from the stored records."""
        ledger = self._services.ledger
        if not isinstance(ledger, LedgerService):
            raise BadInput("a light peer stores no ledger; ask a full node to verify its own")

        async def work(on_progress: OnProgress) -> Json:
            found = await ledger.verify(lambda done, total: on_progress("batches", done, total))
            return {**asdict(found), "is_sound": found.is_sound}

        return ProgressAnswer(work)

    async def epochs(self, _: Request) -> Response:
        """Every epoch, the newest first."""
        found = await self._services.ledger.epochs()
        return json_answer(
            [
                {
                    **to_json(one),
                    "started": format_time(one.started_ms),
                    "ended": "" if one.ended_ms is None else format_time(one.ended_ms),
                }
                for one in found
            ]
        )

    async def witnesses(self, _: Request) -> Response:
        """Who votes now."""
        return json_answer(await self._services.ledger.witnesses())

    def _named(self, text: str) -> AccountId:
        """The account that a person means: the name of a wallet, an address, or 64 hex digits."""
        if len(text) == _ID_DIGITS or looks_like_address(text):
            return AccountId(account_key(text))
        names = keys.wallet_names(self._services.data)
        if text not in names:
            raise NotFound(f"there is no wallet {shown(text)}; there are {', '.join(names)}")
        return AccountId(keys.account_of(self._services.data, text))

    async def _account(self, account: AccountId) -> dict[str, Any]:
        view: dict[str, Any] = to_json(await self._services.ledger.account(account))
        return {**view, "address": format_account(account)}


async def opened_wallet(services: Services, body: Fields, default: str) -> SigningKey:
    """The key of the wallet that a request names, opened by its passphrase if it needs one.

    In a thread: a sealed one takes about a second of work, by intent.
    """
    name, passphrase = body.text("wallet", default), body.optional("passphrase")
    return await trio.to_thread.run_sync(keys.open_wallet, services.data, name, passphrase)
