"""A key at rest under a passphrase: argon2id stretches it, secretbox holds the seed.

    {"p2pgrid_wallet": 1, "account": "…", "passes": 3, "memory_bytes": 268435456,
     "salt": "…", "box": "…"}

The public key stands beside the box, so that a wallet can be listed and paid without its
passphrase. It is compared when the box is opened: who can write the file cannot make others pay
to an account that this passphrase does not open without its owner noticing at the first use.
"""

import json
import re
from dataclasses import dataclass

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id
from nacl.secret import SecretBox
from nacl.signing import SigningKey
from nacl.utils import random as random_bytes

from p2pgrid.errors import BadInput, Unusable
from p2pgrid.limits.keys import (
    PASSPHRASE_BYTES_MAX,
    SEAL_MEMORY_BYTES,
    SEAL_MEMORY_BYTES_MAX,
    SEAL_PASSES,
    SEAL_PASSES_MAX,
)

_VERSION = 1
_FIELDS = {"p2pgrid_wallet", "account", "passes", "memory_bytes", "salt", "box"}
_SEED_BYTES = 32
_BOX_BYTES = SecretBox.NONCE_SIZE + SecretBox.MACBYTES + _SEED_BYTES


@dataclass(frozen=True, slots=True)
class Cost:
    """What one guess of the passphrase takes."""

    passes: int = SEAL_PASSES
    memory_bytes: int = SEAL_MEMORY_BYTES

    def __post_init__(self) -> None:
        if not argon2id.OPSLIMIT_MIN <= self.passes <= SEAL_PASSES_MAX:
            raise Unusable(f"{self.passes} passes over the memory are out of range")
        if not argon2id.MEMLIMIT_MIN <= self.memory_bytes <= SEAL_MEMORY_BYTES_MAX:
            raise Unusable(f"{self.memory_bytes} bytes of memory are out of range")


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A key that only its passphrase opens."""

    account: bytes
    """Its public half, 32 bytes."""
    cost: Cost
    salt: bytes
    box: bytes

    def open(self, passphrase: str) -> SigningKey:
        """The key. Takes about a second, by intent.

        Raises:
            BadInput: the passphrase is wrong.
            Unusable: the file was changed: its account is not that of the key in it.
        """
        try:
            seed = SecretBox(_stretch(passphrase, self.salt, self.cost)).decrypt(self.box)
        except CryptoError:
            raise BadInput("the passphrase is wrong") from None
        key = SigningKey(seed)
        if bytes(key.verify_key) != self.account:
            raise Unusable("the file names another account than its key has; restore your copy")
        return key

    def write(self) -> bytes:
        """What the file holds."""
        fields = {
            "p2pgrid_wallet": _VERSION,
            "account": self.account.hex(),
            "passes": self.cost.passes,
            "memory_bytes": self.cost.memory_bytes,
            "salt": self.salt.hex(),
            "box": self.box.hex(),
        }
        return json.dumps(fields).encode() + b"\n"


def seal(key: SigningKey, passphrase: str, cost: Cost | None = None) -> SealedKey:
    """Put a key under a passphrase. Raises BadInput when that is empty or too long."""
    cost = cost or Cost()
    if not passphrase:
        raise BadInput("an empty passphrase protects nothing")
    salt = random_bytes(argon2id.SALTBYTES)
    box = SecretBox(_stretch(passphrase, salt, cost)).encrypt(bytes(key))
    return SealedKey(bytes(key.verify_key), cost, salt, bytes(box))


def read_sealed(data: bytes) -> SealedKey:
    """What `SealedKey.write` wrote. Raises Unusable: it is something else."""
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"it is not JSON ({error})") from None
    if not isinstance(fields, dict) or fields.get("p2pgrid_wallet") != _VERSION:
        raise Unusable(f"it is no wallet of version {_VERSION}; a newer program may have made it")
    if set(fields) != _FIELDS:
        raise Unusable(f"its fields are not {', '.join(sorted(_FIELDS))}")
    passes, memory_bytes = fields["passes"], fields["memory_bytes"]
    if type(passes) is not int or type(memory_bytes) is not int:
        raise Unusable("its cost is not a number")
    return SealedKey(
        _hex(fields["account"], _SEED_BYTES),
        Cost(passes, memory_bytes),
        _hex(fields["salt"], argon2id.SALTBYTES),
        _hex(fields["box"], _BOX_BYTES),
    )


def _hex(text: object, size_bytes: int) -> bytes:
    if not isinstance(text, str) or not re.fullmatch(rf"[0-9a-f]{{{2 * size_bytes}}}", text):
        raise Unusable(f"a field is not {2 * size_bytes} hex digits")
    return bytes.fromhex(text)


def _stretch(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    try:
        secret = passphrase.encode()
    except UnicodeEncodeError:
        raise BadInput("the passphrase is not text in UTF-8") from None
    if len(secret) > PASSPHRASE_BYTES_MAX:
        raise BadInput(f"a passphrase has at most {PASSPHRASE_BYTES_MAX} bytes")
    return argon2id.kdf(
        SecretBox.KEY_SIZE, secret, salt, opslimit=cost.passes, memlimit=cost.memory_bytes
    )
