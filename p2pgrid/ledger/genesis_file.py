r"""The file that a grid is founded with and that every node of it starts from.

    "p2pgrid genesis 1\n" | canonical genesis record | blake2b-256 of all before

The checksum tells a damaged file from a grid of another name: with one flipped
bit in a balance, a node would sit alone in a grid of its own.
"""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from p2pgrid.errors import BadInput, InvalidRecord, MalformedRecord
from p2pgrid.limits.epochs import EPOCH_SECONDS_DEFAULT
from p2pgrid.limits.ledger import GENESIS_BYTES_MAX
from p2pgrid.model.genesis import FarmingPolicy, Genesis, PricingPolicy
from p2pgrid.model.ids import AccountId, NodeId, short
from p2pgrid.units import Amount, TimestampMs
from p2pgrid.wire.codec import decode, encode
from p2pgrid.wire.signed import is_usable_key

GENESIS_NAME = "genesis.cbor"
"""What it is called in a data directory."""

_MAGIC = b"p2pgrid genesis 1\n"
_CHECKSUM_BYTES = 32


def new_genesis(  # noqa: PLR0913 - one for each thing that its founder chooses
    name: str,
    *,
    witnesses: Sequence[tuple[bytes, int]],
    balances: Sequence[tuple[bytes, int]],
    created_ms: int,
    nonce: bytes,
    seeds: Sequence[str] = (),
    epoch_seconds: int = EPOCH_SECONDS_DEFAULT,
) -> Genesis:
    """Found a grid with the default prices and farming policy.

    Args:
        name: 1 to 32 of a-z 0-9 -.
        witnesses: (node id, weight).
        balances: (account, amount in 10^-7 TFT): all the money there is at first.
        created_ms: now.
        nonce: 16 random bytes.
        seeds: multiaddrs of first peers.
        epoch_seconds: how long witnesses keep their keys.

    Raises:
        BadInput: something does not make sense; says what.
    """
    for key in (*(key for key, _ in witnesses), *(account for account, _ in balances)):
        if not is_usable_key(key):
            raise BadInput(f"{key.hex()} is not an Ed25519 key; copy it from `p2pgrid node id`")
    _require_once([key for key, _ in witnesses], "witness")
    _require_once([account for account, _ in balances], "account")
    try:
        return Genesis(
            name=name,
            created_ms=TimestampMs(created_ms),
            nonce=nonce,
            witnesses=tuple(sorted((NodeId(key), weight) for key, weight in witnesses)),
            balances=tuple(
                sorted((AccountId(account), Amount(amount)) for account, amount in balances)
            ),
            pricing=PricingPolicy(),
            farming=FarmingPolicy(),
            epoch_seconds=epoch_seconds,
            seeds=tuple(seeds),
        )
    except InvalidRecord as error:
        raise BadInput(str(error)) from error


def _require_once(keys: Sequence[bytes], what: str) -> None:
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice is not None:
        raise BadInput(f"{what} {short(twice)} is named twice")


def encode_genesis(genesis: Genesis) -> bytes:
    """The bytes of the file."""
    content = _MAGIC + encode(genesis)
    return content + _checksum(content)


def decode_genesis(data: bytes) -> Genesis:
    """What `encode_genesis` wrote. Raises BadInput for anything else, with a single bit changed."""
    if not data.startswith(_MAGIC):
        raise BadInput("this is not a genesis file of this version of p2pgrid")
    content, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if _checksum(content) != checksum:
        raise BadInput("the genesis file is damaged; copy it again from another node of the grid")
    try:
        return decode(Genesis, content[len(_MAGIC) :], bytes_max=GENESIS_BYTES_MAX)
    except MalformedRecord as error:
        raise BadInput(f"the genesis file is of another version of p2pgrid: {error}") from error


def _checksum(content: bytes) -> bytes:
    return blake2b(content, digest_size=_CHECKSUM_BYTES).digest()


def write_genesis(path: Path, genesis: Genesis) -> None:
    """Write the file in one step, so that nobody ever reads half of it. Raises BadInput."""
    data = encode_genesis(genesis)
    if len(data) > GENESIS_BYTES_MAX:
        raise BadInput(f"a genesis file has at most {GENESIS_BYTES_MAX} bytes: fewer balances")
    written = path.with_name(f".{path.name}.new")
    try:
        written.write_bytes(data)
        written.replace(path)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}") from error


def read_genesis(path: Path) -> Genesis:
    """Read the file. Raises BadInput: missing, damaged, or something else; says what to do."""
    try:
        with path.open("rb") as file:
            data = file.read(GENESIS_BYTES_MAX + 1)
    except OSError as error:
        raise BadInput(f"genesis file {path} cannot be read: {error.strerror}") from error
    try:
        return decode_genesis(data)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from error
