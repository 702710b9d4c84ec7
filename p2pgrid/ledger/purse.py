"""The accounts that this machine signs for: what is pending, and where each chain stands.

On disk before it is believed; see `wallet` for the rules.
"""

from collections.abc import Iterable

from nacl.signing import SigningKey

from p2pgrid.errors import MalformedRecord, Unusable
from p2pgrid.ledger.certificate import read_operation
from p2pgrid.ledger.wallet import Head, head_after, newest, next_operation, read_head, write_head
from p2pgrid.model.ids import AccountId, NetworkId, RecordId
from p2pgrid.model.operation import Operation, Payload
from p2pgrid.store.store import Change, Store, Table
from p2pgrid.units import Amount, TimestampMs
from p2pgrid.wire.signed import Signed, sign


class Purse:
    """Remembers, for each of our accounts, the last operation that we signed."""

    def __init__(self, store: Store, network: NetworkId) -> None:
        self._store = store
        self._network = network
        self._pending: dict[AccountId, Signed[Operation]] = {}
        for _, envelope in store.scan(Table.PENDING.value):
            try:
                identity, operation = read_operation(envelope, network)
            except MalformedRecord as error:
                raise Unusable(
                    f"an operation that was signed here is damaged on disk ({error}); to sign "
                    "another in its place would block the account: restore ledger.ldb"
                ) from error
            self._pending[operation.account] = Signed(operation, identity, envelope)

    def pending(self, account: AccountId) -> Signed[Operation] | None:
        """The operation of an account that has no certificate yet."""
        return self._pending.get(account)

    def all_pending(self) -> tuple[Signed[Operation], ...]:
        """Those of every account."""
        return tuple(self._pending.values())

    def head(self, account: AccountId) -> Head:
        """Where the chain of an account stands as far as we have seen it certified."""
        stored = self._store.get(Table.OWN_HEAD.key(account))
        return Head() if stored is None else read_head(stored)

    async def sign_next(
        self, key: SigningKey, payload: Payload, head: Head, fee: Amount, now_ms: TimestampMs
    ) -> Signed[Operation]:
        """Sign the operation after `head`; it is durable before anybody gets to see it.

        Raises:
            StoreFailed: it is not signed.
        """
        account = AccountId(bytes(key.verify_key))
        assert account not in self._pending, "one operation at a time"
        assert head == newest(head, self.head(account)), "this place of the chain is taken"
        operation = next_operation(account, payload, head, fee=fee, now_ms=now_ms)
        signed = sign(operation, key, self._network)
        self._pending[account] = signed
        try:
            await self._store.commit([(Table.PENDING.key(account), signed.envelope)])
        except BaseException:
            self._reload(account)
            raise
        return signed

    def settle(self, operations: Iterable[tuple[RecordId, Operation]]) -> None:
        """Take note of certified operations; only those pending here matter. Raises StoreFailed."""
        for identity, operation in operations:
            account = operation.account
            if account in self._pending and self._pending[account].id == identity:
                head = write_head(head_after(identity, operation))
                changes: list[Change] = [
                    (Table.PENDING.key(account), None),
                    (Table.OWN_HEAD.key(account), head),
                ]
                self._store.write(changes)
                del self._pending[account]

    async def give_up(self, account: AccountId) -> None:
        """Forget a pending operation whose place another one has for good. Raises StoreFailed."""
        await self._store.commit([(Table.PENDING.key(account), None)])
        self._pending.pop(account, None)

    def _reload(self, account: AccountId) -> None:
        """After a commit that was cut off: what the store has is what was signed."""
        stored = self._store.get(Table.PENDING.key(account))
        if stored is None:
            del self._pending[account]
