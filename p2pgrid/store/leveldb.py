"""The store on disk: LevelDB, with commits that share their fsync.

After a write that the disk refused, LevelDB may hold a torn record and refuse
or, worse, misplace what follows. So the database is opened anew before the
next write, and what a refused write may have left behind is undone.
"""

import logging
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import plyvel
import trio

from p2pgrid.errors import DataInUse, GridError, NewerFormat, StoreFailed, Unusable
from p2pgrid.limits.store import COMMIT_BYTES_MAX, STORE_OPEN_FILES_MAX
from p2pgrid.store.group_commit import GroupCommit
from p2pgrid.store.store import FORMAT_VERSION, Change, Table, check_changes, end_of

log = logging.getLogger(__name__)

_BLOOM_BITS = 10  # per key: 1 % of the reads of absent keys touch a table file


@asynccontextmanager
async def open_leveldb(path: Path, *, name: str) -> AsyncGenerator["LevelDbStore", None]:
    """Open the database `<path>/<name>.ldb` for the block; made when it does not exist.

    Raises:
        DataInUse: another process has it open.
        NewerFormat: a newer p2pgrid wrote it.
        Unusable: it is damaged, or its directory cannot be used.
    """
    directory = path / f"{name}.ldb"
    store = LevelDbStore(directory)
    try:
        yield store
    finally:
        await store.aclose()


class LevelDbStore:
    """See `Store`. Reading raises Unusable when the data is damaged, StoreFailed when it fails."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._commits = GroupCommit(self._write_group, group_bytes_max=COMMIT_BYTES_MAX)
        self._refused: list[Change] | None = None
        """Set after a refused write: what undoes it. Nothing is written until that is done."""
        self._database = _open(directory)
        try:
            _check_format(self._database, directory)
        except GridError:
            self._database.close()
            raise

    async def aclose(self) -> None:
        """Close, after the commit that is under way."""
        with trio.CancelScope(shield=True):
            await self._commits.wait_idle()
            self._database.close()

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        with self._readable():
            value: bytes | None = self._database.get(key, verify_checksums=True)
        return value

    def scan(self, prefix: bytes, *, after: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Entries whose key starts with `prefix` and is > `after`, as they are now."""
        with self._readable():
            entries = self._database.iterator(
                start=bytes(max(prefix, after)),  # plyvel takes no Table, though that is bytes
                stop=end_of(prefix),
                include_start=prefix > after or prefix == after == b"",
                verify_checksums=True,
            )
        return self._entries(entries)

    def write(self, changes: Sequence[Change]) -> None:
        """All or nothing, visible at once; not yet safe from a power cut. Raises StoreFailed."""
        check_changes(changes)
        if self._refused is not None and self._commits.is_writing:
            raise StoreFailed(f"{self._directory} refused a write before")
        self._reopen_if_refused()
        try:
            self._apply(changes, is_durable=False)
        except plyvel.IOError as error:
            raise self._refuse(changes, error) from error

    async def commit(self, changes: Sequence[Change]) -> None:
        """All or nothing, durable on return. Raises StoreFailed.

        Commits that wait share one sync write; see `GroupCommit`.
        """
        check_changes(changes)
        size_bytes = sum(len(key) + len(value or b"") for key, value in changes)
        await self._commits.submit(changes, size_bytes)

    async def _write_group(self, group: Sequence[Sequence[Change]]) -> None:
        """Write several commits as one durable batch. Raises StoreFailed."""
        changes = [change for one in group for change in one]
        self._reopen_if_refused()
        try:
            await trio.to_thread.run_sync(lambda: self._apply(changes, is_durable=True))
        except plyvel.IOError as error:
            raise self._refuse(changes, error) from error
        if self._refused is not None:  # a `write` meanwhile: ours may lie behind a torn record
            self._refused += changes
            self._reopen_if_refused()

    def _apply(self, changes: Sequence[Change], *, is_durable: bool) -> None:
        with self._database.write_batch(sync=is_durable) as batch:
            for key, value in changes:
                if value is None:
                    batch.delete(key)
                else:
                    batch.put(key, value)

    def _refuse(self, changes: Sequence[Change], error: Exception) -> StoreFailed:
        """Note how to undo what the disk refused, which memory does not show yet."""
        before: list[Change] = []
        with suppress(GridError):  # then there is nothing better than to open it anew
            before += [(key, self.get(key)) for key, _ in changes]
        self._refused = before + (self._refused or [])
        log.error("%s: the disk refused a write: %s", self._directory, _text(error))
        return StoreFailed(
            f"the disk refused to store in {self._directory}: {_text(error)}; "
            "make room or check the disk"
        )

    def _reopen_if_refused(self) -> None:
        """Start on a fresh log after a refused write. Raises StoreFailed while it goes on."""
        if self._refused is None:
            return
        self._database.close()
        try:
            self._database = _open(self._directory)
            self._apply(self._refused, is_durable=True)
        except (plyvel.Error, GridError) as error:
            raise StoreFailed(
                f"{self._directory} cannot be written since the disk refused: {_text(error)}"
            ) from error
        self._refused = None
        log.warning("%s: works again", self._directory)

    def _entries(
        self, entries: Iterator[tuple[bytes, bytes]]
    ) -> Generator[tuple[bytes, bytes], None, None]:
        with self._readable():
            yield from entries

    @contextmanager
    def _readable(self) -> Generator[None, None, None]:
        """Turn what LevelDB says while reading into our errors."""
        try:
            yield
        except plyvel.CorruptionError as error:
            raise _damaged(self._directory, error) from error
        except (plyvel.IOError, RuntimeError) as error:  # RuntimeError: it is closed
            raise StoreFailed(f"{self._directory} cannot be read: {_text(error)}") from error


def _open(directory: Path) -> "plyvel.DB":
    """Open with every check that LevelDB has: a lost vote is worse than a node that stays down."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        has_data = any(file.suffix in {".ldb", ".log"} for file in directory.iterdir())
        if has_data and not (directory / "CURRENT").exists():
            # LevelDB would start an empty database over what is there.
            raise _damaged(directory, FileNotFoundError("the file CURRENT is missing"))
        return plyvel.DB(
            str(directory),
            create_if_missing=True,
            paranoid_checks=True,
            max_open_files=STORE_OPEN_FILES_MAX,
            bloom_filter_bits=_BLOOM_BITS,
        )
    except plyvel.CorruptionError as error:
        raise _damaged(directory, error) from error
    except OSError as error:  # plyvel.IOError is one
        if _text(error).startswith("IO error: lock "):
            raise DataInUse(
                f"{directory} is in use by another process; "
                "stop that node, or choose another directory"
            ) from error
        raise Unusable(f"{directory} cannot be opened: {_text(error)}") from error


def _check_format(database: "plyvel.DB", directory: Path) -> None:
    """Mark a new database as ours; refuse one that is not, or that a newer program wrote."""
    key = Table.FORMAT.key()
    found: bytes | None = database.get(key)
    if found is None:
        if next(database.iterator(), None) is not None:
            raise Unusable(f"{directory} is not a store of p2pgrid; choose another directory")
        database.put(key, b"%d" % FORMAT_VERSION, sync=True)
    elif not found.isdigit():
        raise Unusable(f"{directory} is not a store of p2pgrid; choose another directory")
    elif int(found) > FORMAT_VERSION:
        raise NewerFormat(
            f"{directory} was written by a newer p2pgrid (format {int(found)}, this one knows "
            f"{FORMAT_VERSION}); install that version, or choose another directory"
        )


def _damaged(directory: Path, error: Exception) -> Unusable:
    return Unusable(
        f"{directory} is damaged ({_text(error)}); bring it back from a backup, or move it away "
        "and start again: what peers hold is fetched anew"
    )


def _text(error: Exception) -> str:
    """What it says; plyvel gives bytes."""
    said = error.args[0] if error.args else error
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
