"""What every store keeps to, in memory and on disk: an ordered map, all or nothing, snapshots."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from p2pgrid.limits.store import VALUE_BYTES_MAX
from p2pgrid.store.leveldb import LevelDbStore, open_leveldb
from p2pgrid.store.memory import MemoryStore
from p2pgrid.store.store import FORMAT_VERSION, Change, Store, Table

OpenStore = Callable[[], Store]
ADAPTERS = ("memory", "leveldb")

keys = st.binary(min_size=1, max_size=3).filter(lambda key: key[0] != 0) | st.sampled_from(
    [b"a", b"a\xff", b"a\xff\xff", b"\xff", b"\xff\xff", b"b"]
)
values = st.none() | st.binary(max_size=4)
changes = st.lists(st.tuples(keys, values), max_size=6)


@pytest.fixture(params=ADAPTERS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> object:
    """An empty store of each kind."""
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield MemoryStore()
        else:
            yield await stack.enter_async_context(open_leveldb(tmp_path, name="test"))


class StoreMachine(RuleBasedStateMachine):
    """Any history of writes leaves what a dict would hold."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.model = {Table.FORMAT.key(): b"%d" % FORMAT_VERSION}
        self.scans: list[tuple[Iterator[tuple[bytes, bytes]], list[tuple[bytes, bytes]]]] = []

    @rule(changes=changes)
    def write(self, changes: list[Change]) -> None:
        self.store.write(changes)
        self._apply(changes)

    @rule(changes=changes)
    def commit(self, changes: list[Change]) -> None:
        trio.run(self.store.commit, changes)
        self._apply(changes)

    @rule(key=keys)
    def get(self, key: bytes) -> None:
        assert self.store.get(key) == self.model.get(key)

    @rule(prefix=keys | st.just(b""), after=keys | st.just(b""))
    def start_scan(self, prefix: bytes, after: bytes) -> None:
        self.scans.append((self.store.scan(prefix, after=after), self._expected(prefix, after)))

    @rule()
    def finish_scans(self) -> None:
        """They were started some writes ago, and must not show those."""
        for entries, expected in self.scans:
            assert list(entries) == expected
        self.scans.clear()

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert dict(self.store.scan(b"")) == self.model

    def _apply(self, changes: list[Change]) -> None:
        for key, value in changes:
            if value is None:
                self.model.pop(key, None)
            else:
                self.model[key] = value

    def _expected(self, prefix: bytes, after: bytes) -> list[tuple[bytes, bytes]]:
        return sorted(
            (key, value)
            for key, value in self.model.items()
            if key.startswith(prefix) and (key > after or after == b"")
        )


class MemoryMachine(StoreMachine):
    """The store in memory."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())


class LevelDbMachine(StoreMachine):
    """The store on disk, which may also be closed and opened at any time."""

    def __init__(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.disk = LevelDbStore(Path(self.directory.name))
        super().__init__(self.disk)

    @rule()
    def reopen(self) -> None:
        self.finish_scans()
        trio.run(self.disk.aclose)
        self.store = self.disk = LevelDbStore(Path(self.directory.name))

    def teardown(self) -> None:
        trio.run(self.disk.aclose)
        self.directory.cleanup()


@pytest.mark.parametrize("machine", [MemoryMachine, LevelDbMachine])
def test_any_history_leaves_what_a_dict_would_hold(machine: type[StoreMachine]) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=25, stateful_step_count=25, deadline=None)
    )


async def test_waiting_commits_are_all_there_when_they_return(store: Store) -> None:
    async def commit(number: int) -> None:
        key = b"%05d" % number
        await store.commit([(b"a" + key, key), (b"b" + key, key)])
        assert store.get(b"a" + key) == store.get(b"b" + key) == key

    async with trio.open_nursery() as nursery:
        for number in range(300):
            nursery.start_soon(commit, number)
    assert [key for key, _ in store.scan(b"a")] == [b"a%05d" % number for number in range(300)]


async def test_a_cancelled_commit_leaves_the_others_alone(store: Store) -> None:
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            scope.cancel()
            nursery.start_soon(store.commit, [(b"a", b"1")])
            await store.commit([(b"b", b"1")])
        nursery.start_soon(store.commit, [(b"c", b"1")])
    assert store.get(b"a") == store.get(b"c") == b"1"
    await store.commit([(b"d", b"1")])
    assert store.get(b"d") == b"1"


async def test_a_value_of_absurd_size_is_our_own_mistake(store: Store) -> None:
    absurd: list[Change] = [(b"a", b"1"), (b"b", bytes(VALUE_BYTES_MAX + 1))]
    with pytest.raises(ValueError, match="value of"):
        store.write(absurd)
    with pytest.raises(ValueError, match="value of"):
        await store.commit(absurd)
    assert store.get(b"a") is None


def test_every_table_has_a_prefix_of_its_own() -> None:
    assert len({table.value for table in Table.__members__.values()}) == len(Table.__members__)
    assert all(len(table.value) == 1 for table in Table)


async def test_a_table_is_a_prefix_to_scan(store: Store) -> None:
    entries = [(Table.RENTED.key(b"1"), b"x"), (Table.RENTED.key(b"2"), b"y")]
    await store.commit([*entries, (Table.HOSTED.key(b"1"), b"z")])

    assert list(store.scan(Table.RENTED)) == entries
