"""`.fl` files on disk, each under its id. Blocks; call it in a worker thread.

The directory itself is the list of what is here. A file gets its name only when
it is whole and durable, so one that is half written is never taken for it.
"""

import os
from contextlib import suppress
from pathlib import Path

from p2pgrid.durable import sync_directory
from p2pgrid.errors import NotFound, StoreFailed, Unusable
from p2pgrid.model.ids import ID_BYTES, FlistId, short

_SUFFIX = ".fl"
_UNFINISHED_SUFFIX = ".part"


class FlistFiles:
    """The `.fl` files of one directory. One writer; readers at any time."""

    def __init__(self, directory: Path) -> None:
        """Use `directory`, made when it does not exist. Raises Unusable."""
        self._directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            for unfinished in directory.glob(f"*{_UNFINISHED_SUFFIX}"):
                unfinished.unlink()
            self._bytes = {
                _flist(file): file.stat().st_size for file in directory.glob(f"*{_SUFFIX}")
            }
        except (OSError, ValueError) as error:
            raise Unusable(f"{directory} cannot be used: {error}") from error

    def sizes(self) -> dict[FlistId, int]:
        """Bytes of each file that is here."""
        return dict(self._bytes)

    def size_bytes(self, flist: FlistId) -> int | None:
        """Bytes of one file, None when it is not here."""
        return self._bytes.get(flist)

    def read(self, flist: FlistId, *, start: int, bytes_max: int) -> bytes:
        """A piece of a file. Raises NotFound, StoreFailed."""
        try:
            with self._path(flist).open("rb", buffering=0) as file:
                return os.pread(file.fileno(), bytes_max, start)
        except FileNotFoundError as error:
            raise NotFound(f"flist {short(flist)} is not here") from error
        except OSError as error:
            raise StoreFailed(f"{self._path(flist)} cannot be read: {error.strerror}") from error

    def write(self, flist: FlistId, data: bytes) -> None:
        """Keep a file, durable on return. Raises StoreFailed."""
        unfinished = self._path(flist).with_suffix(_UNFINISHED_SUFFIX)
        try:
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(self._path(flist))
            sync_directory(self._directory)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink()
            raise StoreFailed(
                f"the disk refused to store flist {short(flist)} in {self._directory}: "
                f"{error.strerror}; make room"
            ) from error
        self._bytes[flist] = len(data)

    def remove(self, flist: FlistId) -> None:
        """Forget a file; fine when it is not here. Raises StoreFailed."""
        self._bytes.pop(flist, None)
        try:
            self._path(flist).unlink(missing_ok=True)
        except OSError as error:
            raise StoreFailed(f"{self._path(flist)} cannot be removed: {error.strerror}") from error

    def _path(self, flist: FlistId) -> Path:
        return self._directory / f"{flist.hex()}{_SUFFIX}"


def _flist(file: Path) -> FlistId:
    """The id that a file is named after. Raises ValueError."""
    identity = bytes.fromhex(file.stem)
    if len(identity) != ID_BYTES:
        raise ValueError(f"{file.name} is not named after an flist")
    return FlistId(identity)
