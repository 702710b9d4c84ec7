"""Keys on disk: the node's identity, and wallets with a name.

    <data>/identity.key          the node: its peer id, its node id, the account `node`
    <data>/wallets/<name>.key    other accounts

A file holds an Ed25519 seed as 64 hex digits, or sealed by a passphrase (`sealed_key`), and is
there as a whole or not at all: losing half a key is losing the money. Nobody but the owner may
read it. The node's own key is never sealed: a node starts again without a person beside it.
"""

import os
import re
import secrets
import stat
from pathlib import Path

from nacl.signing import SigningKey

from p2pgrid.durable import sync_directory
from p2pgrid.errors import BadInput, Locked, NotFound, Unusable
from p2pgrid.limits.keys import KEY_FILE_BYTES_MAX
from p2pgrid.sealed_key import Cost, SealedKey, read_sealed, seal

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
            return _create(path, _new_key())
        except FileExistsError:
            pass  # somebody else made it just now
    return _opened(path, _read(path), None)


def create_wallet(
    data: Path,
    name: str,
    *,
    key: SigningKey | None = None,
    passphrase: str | None = None,
    cost: Cost | None = None,
) -> SigningKey:
    """Make a new account, or put back the one of `key`.

    Args:
        data: the data directory.
        name: the wallet's; the node's own can only be put back, and not be sealed.
        key: that of an account that was there before; None makes a new one.
        passphrase: what opens it from now on; None leaves it to the file's permissions.
        cost: of one guess of the passphrase.

    Raises:
        BadInput: the name is taken or cannot be one, or the passphrase is empty or too long.
        Unusable: it cannot be written.
    """
    path = wallet_path(data, name)
    taken = f"there is a wallet {name!r} already, in {path}; its key is never written over"
    if path.exists() or (name == NODE_WALLET and key is None):
        raise BadInput(taken)
    if name == NODE_WALLET and passphrase is not None:
        raise BadInput("the node's own key cannot be sealed: a node starts again by itself")
    key = key or _new_key()
    sealed = None if passphrase is None else seal(key, passphrase, cost)
    try:
        return _create(path, key, sealed)
    except FileExistsError:
        raise BadInput(taken) from None


def open_wallet(data: Path, name: str, passphrase: str | None = None) -> SigningKey:
    """The key of a wallet. Takes about a second when it is sealed.

    Raises:
        NotFound: there is no such wallet.
        Locked: it is sealed, and there is no passphrase.
        Unusable: others may read the file, or it does not hold a key.
        BadInput: that cannot be a wallet's name, or the passphrase is wrong.
    """
    path = _existing(data, name)
    return _opened(path, _read(path), passphrase)


def account_of(data: Path, name: str) -> bytes:
    """The account of a wallet, 32 bytes; needs no passphrase. Raises as `open_wallet`."""
    held = _read(_existing(data, name))
    return held.account if isinstance(held, SealedKey) else bytes(held.verify_key)


def is_sealed(data: Path, name: str) -> bool:
    """Whether a wallet opens by a passphrase only. Raises as `open_wallet`."""
    return isinstance(_read(_existing(data, name)), SealedKey)


def key_of_seed(seed: bytes) -> SigningKey:
    """The key of a seed of 32 bytes that was written down."""
    return SigningKey(seed)


def change_passphrase(
    data: Path, name: str, old: str | None, new: str | None, *, cost: Cost | None = None
) -> None:
    """Seal a wallet by another passphrase; None: the file's permissions alone protect it.

    Raises as `open_wallet`, and BadInput for the node's own key or a bad new passphrase.
    """
    if name == NODE_WALLET:
        raise BadInput("the node's own key cannot be sealed: a node starts again by itself")
    path = _existing(data, name)
    key = _opened(path, _read(path), old)
    sealed = None if new is None else seal(key, new, cost)
    try:
        temporary = _written(path, key, sealed)
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise Unusable(f"cannot write {path}: {error.strerror}") from error


def _existing(data: Path, name: str) -> Path:
    path = wallet_path(data, name)
    if not path.exists():
        known = ", ".join(wallet_names(data)) or "none"
        raise NotFound(f"there is no wallet {name!r}; there are: {known}")
    return path


def _opened(path: Path, held: SigningKey | SealedKey, passphrase: str | None) -> SigningKey:
    if isinstance(held, SigningKey):
        return held
    if passphrase is None:
        raise Locked(f"the wallet {path.stem!r} is sealed; give its passphrase")
    try:
        return held.open(passphrase)
    except Unusable as error:
        raise Unusable(f"cannot use {path}: {error}") from error


def _read(path: Path) -> SigningKey | SealedKey:
    try:
        if path.stat().st_mode & _FOREIGN_RIGHTS:
            raise Unusable(f"others may read {path}; take that right away: chmod 600 {path}")
        with path.open("rb") as file:
            text = file.read(KEY_FILE_BYTES_MAX)
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}") from error
    if text.startswith(b"{"):
        try:
            return read_sealed(text)
        except Unusable as error:
            raise Unusable(f"cannot use {path}: {error}; put it back from your copy") from error
    if not re.fullmatch(rb"[0-9a-f]{64}\n?", text):
        raise Unusable(
            f"{path} does not hold a key of 64 hex digits; put it back from your copy, "
            "or move it away to start with a new one"
        )
    return SigningKey(bytes.fromhex(text.decode()))


def _new_key() -> SigningKey:
    return SigningKey(secrets.token_bytes(_SEED_BYTES))


def _create(path: Path, key: SigningKey, sealed: SealedKey | None = None) -> SigningKey:
    """Write a new key: whole, durable, and never over another. Raises FileExistsError."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = _written(path, key, sealed)
        try:
            # A link fails where a rename would replace a key that is there.
            path.hardlink_to(temporary)
        finally:
            temporary.unlink()
        sync_directory(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        raise Unusable(f"cannot write {path}: {error.strerror}") from error
    return key


def _written(path: Path, key: SigningKey, sealed: SealedKey | None) -> Path:
    """A durable file beside `path` that holds the key, or the sealed one."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(bytes(key).hex().encode() + b"\n" if sealed is None else sealed.write())
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink()
        raise
    return temporary
