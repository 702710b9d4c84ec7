"""Keys on disk: the node's identity, and wallets with a name.

    <data>/identity.key          the node: its peer id, its node id, the account `node`
    <data>/wallets/<name>.key    other accounts

A file holds an Ed25519 seed as 64 hex digits, and is there with all of them or
not at all: losing half a key is losing the money. Nobody but the owner may read it.
"""

import os
import re
import secrets
import stat
from pathlib import Path

from nacl.signing import SigningKey

from p2pgrid.errors import BadInput, NotFound, Unusable

NODE_WALLET = "node"
"""The wallet that is the node's own identity."""

_SEED_BYTES = 32
_FOREIGN_RIGHTS = stat.S_IRWXG | stat.S_IRWXO
_WALLET_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def identity_path(data: Path) -> Path:
    """The file of the node's own key."""
    return data / "identity.key"


def wallet_path(data: Path, name: str) -> Path:
    """The file of a wallet's key. Raises BadInput when that cannot be a wallet's name."""
    if name == NODE_WALLET:
        return identity_path(data)
    if not _WALLET_NAME.fullmatch(name):
        raise BadInput(f"{name!r} is not a wallet name: 1 to 32 of a-z 0-9 - _, the first no sign")
    return data / "wallets" / f"{name}.key"


def wallet_names(data: Path) -> tuple[str, ...]:
    """Every wallet that has a key here, the node's own first."""
    names = (path.stem for path in (data / "wallets").glob("*.key"))
    own = (NODE_WALLET,) if identity_path(data).exists() else ()
    return (*own, *sorted(name for name in names if _WALLET_NAME.fullmatch(name)))


def open_identity(data: Path) -> SigningKey:
    """The node's key; makes one when there is none.

    Raises:
        Unusable: others may read the file, or it does not hold a key.
    """
    path = identity_path(data)
    if not path.exists():
        try:
            return _create(path)
        except FileExistsError:
            pass  # somebody else made it just now
    return _read(path)


def create_wallet(data: Path, name: str) -> SigningKey:
    """Make a new account. Raises BadInput when the name is taken or cannot be one."""
    path = wallet_path(data, name)
    taken = f"there is a wallet {name!r} already, in {path}; its key is never written over"
    if name == NODE_WALLET or path.exists():
        raise BadInput(taken)
    try:
        return _create(path)
    except FileExistsError:
        raise BadInput(taken) from None


def open_wallet(data: Path, name: str) -> SigningKey:
    """The key of a wallet.

    Raises:
        NotFound: there is no such wallet.
        Unusable: others may read the file, or it does not hold a key.
        BadInput: that cannot be a wallet's name.
    """
    path = wallet_path(data, name)
    if not path.exists():
        known = ", ".join(wallet_names(data)) or "none"
        raise NotFound(f"there is no wallet {name!r}; there are: {known}")
    return _read(path)


def _read(path: Path) -> SigningKey:
    try:
        if path.stat().st_mode & _FOREIGN_RIGHTS:
            raise Unusable(f"others may read {path}; take that right away: chmod 600 {path}")
        text = path.read_bytes()
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}") from error
    if not re.fullmatch(rb"[0-9a-f]{64}\n?", text):
        raise Unusable(
            f"{path} does not hold a key of 64 hex digits; put it back from your copy, "
            "or move it away to start with a new one"
        )
    return SigningKey(bytes.fromhex(text.decode()))


def _create(path: Path) -> SigningKey:
    """Write a new key: whole, durable, and never over another. Raises FileExistsError."""
    seed = secrets.token_bytes(_SEED_BYTES)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(seed.hex().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            # A link fails where a rename would replace a key that is there.
            path.hardlink_to(temporary)
        finally:
            temporary.unlink()
        _sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise Unusable(f"cannot write {path}: {error.strerror}") from error
    return SigningKey(seed)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
