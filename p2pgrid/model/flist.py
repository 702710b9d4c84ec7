"""Flists as the grid talks about them: names for trees, and who can serve what."""

import re
from dataclasses import dataclass
from hashlib import blake2b

from p2pgrid.errors import BadInput, InvalidRecord
from p2pgrid.model.ids import ID_BYTES, AccountId, FlistId, NodeId, require_ids, require_text
from p2pgrid.units import TimestampMs
from p2pgrid.wire.codec import record
from p2pgrid.wire.kinds import RecordKind

HOLDINGS_MAX = 100
_NAME = re.compile(r"[a-z0-9]+(?:[._/-][a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_NAME_BYTES_MAX = 128
_LATEST = "latest"


def flist_id(data: bytes) -> FlistId:
    """What a `.fl` file is known by: blake2b-256 of its bytes."""
    return FlistId(blake2b(data, digest_size=ID_BYTES).digest())


@dataclass(frozen=True, slots=True)
class FlistReference:
    """How a person names an flist: by id, or as `publisher/name:tag`."""

    flist: FlistId | None
    publisher: str
    """Hex prefix of the publisher's account, or the name of its farm; empty with an id."""
    title: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> "FlistReference":
        """Read `<64 hex>` or `[publisher/]name[:tag]`. Raises BadInput.

        >>> FlistReference.parse("acme/web:1").tag
        '1'
        """
        if re.fullmatch(r"[0-9a-f]{64}", text):
            return cls(FlistId(bytes.fromhex(text)), "", "", "")
        rest, colon, tag = text.partition(":")
        publisher, slash, title = rest.partition("/")
        if not slash:
            publisher, title = "", rest
        is_partial = (slash and not publisher) or (colon and not tag)
        if is_partial or not _NAME.fullmatch(title) or not _TAG.fullmatch(tag or _LATEST):
            raise BadInput(
                f"{text!r} does not name an flist; write publisher/name:tag or its 64-digit id"
            )
        return cls(None, publisher, title, tag or _LATEST)


@record(RecordKind.FLIST_NAME)
@dataclass(frozen=True, slots=True, kw_only=True)
class FlistName:
    """`publisher/title:tag` means this flist, says the publisher."""

    publisher: AccountId
    incarnation: int
    sequence: int
    time_ms: TimestampMs
    title: str
    tag: str
    flist: FlistId | None
    """None: the name is withdrawn."""
    flist_bytes: int
    """Size of the `.fl` file."""
    content_bytes: int
    """Plain bytes of all files."""
    description: str

    def __post_init__(self) -> None:
        require_ids(self.publisher, *([self.flist] if self.flist is not None else []))
        require_text(self.description, "description", bytes_max=256)
        if len(self.title) > _NAME_BYTES_MAX or not _NAME.fullmatch(self.title):
            raise InvalidRecord(f"{self.title!r} is not an flist name: a-z 0-9 . _ - / only")
        if not _TAG.fullmatch(self.tag):
            raise InvalidRecord(f"{self.tag!r} is not a tag")

    @property
    def author(self) -> bytes:
        """The publisher."""
        return self.publisher

    @property
    def name(self) -> bytes:
        """One register for each name and tag."""
        return f"{self.title}:{self.tag}".encode()


@record(RecordKind.HOLDINGS)
@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """Flists of which a node can serve every chunk."""

    node: NodeId
    incarnation: int
    sequence: int
    time_ms: TimestampMs
    flists: tuple[FlistId, ...]

    def __post_init__(self) -> None:
        require_ids(self.node, *self.flists)
        if len(self.flists) > HOLDINGS_MAX:
            raise InvalidRecord(f"more than {HOLDINGS_MAX} flists in one record")

    @property
    def author(self) -> bytes:
        """The node."""
        return self.node

    @property
    def name(self) -> bytes:
        """One register a node."""
        return b""
