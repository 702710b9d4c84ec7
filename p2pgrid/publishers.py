"""Publishers whose images somebody has run from here: the others deserve a word of warning.

    <data>/publishers            an account in hex on each line; only ever written as a whole

Anybody may publish an image under any title. Who has run something of a publisher once has looked
at him; the first time, people are told who he is.
"""

from collections.abc import Iterable
from pathlib import Path

from p2pgrid.durable import replace_file
from p2pgrid.errors import Unusable
from p2pgrid.limits.keys import PUBLISHERS_MAX
from p2pgrid.model.ids import ID_BYTES, AccountId

_LINE_BYTES = 2 * ID_BYTES + 1


def publishers_path(data: Path) -> Path:
    """The file of those that are known."""
    return data / "publishers"


def known_publishers(data: Path) -> tuple[AccountId, ...]:
    """Those that are known, the oldest first. Raises Unusable when the file cannot be read."""
    path = publishers_path(data)
    try:
        with path.open("rb") as file:
            lines = file.read(PUBLISHERS_MAX * _LINE_BYTES).decode("ascii").splitlines()
        return tuple(AccountId(_account(line)) for line in lines)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise Unusable(f"{path} cannot be read ({error}); remove it to begin anew") from error


def know_publishers(data: Path, more: Iterable[AccountId]) -> None:
    """Remember these as well, durably; the oldest go when there are too many. Raises Unusable."""
    known = dict.fromkeys(known_publishers(data))
    before = len(known)
    known.update(dict.fromkeys(more))
    if len(known) > before:
        _write(data, list(known)[-PUBLISHERS_MAX:])


def forget_publisher(data: Path, publisher: AccountId) -> bool:
    """Warn of this one again; whether it was known. Raises Unusable."""
    known = known_publishers(data)
    if publisher not in known:
        return False
    _write(data, [one for one in known if one != publisher])
    return True


def _account(line: str) -> bytes:
    account = bytes.fromhex(line)
    if len(account) != ID_BYTES:
        raise ValueError(f"{line[:20]!r} is no account")
    return account


def _write(data: Path, publishers: Iterable[AccountId]) -> None:
    path = publishers_path(data)
    try:
        replace_file(path, b"".join(one.hex().encode() + b"\n" for one in publishers))
    except OSError as error:
        raise Unusable(f"cannot write {path}: {error.strerror}") from error
