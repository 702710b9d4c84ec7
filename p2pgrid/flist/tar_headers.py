"""The fields of tar headers: numbers, texts, extended records and maps of sparse files."""

from typing import NamedTuple

from p2pgrid.errors import BadImage
from p2pgrid.flist.tree import TIME_SECONDS_MAX
from p2pgrid.limits.flist import TAR_SPARSE_SEGMENTS_MAX

BLOCK_BYTES = 512
_CHECKSUM = slice(148, 156)
_DIGITS_MAX = 20


class Segment(NamedTuple):
    """A run of data in a sparse file."""

    offset: int
    length: int


def text_field(field: bytes) -> bytes:
    """What stands before the first zero byte."""
    return field.partition(b"\0")[0]


def parse_number(field: bytes, what: str) -> int:
    r"""An octal field, or a base-256 one (first bit set). Raises BadImage.

    >>> parse_number(b"0000644\0", "mode"), parse_number(b"\x80\0\0\1", "size")
    (420, 1)
    """
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=False)
        bits = len(field) * 8
        return value - (1 << bits) if field[0] == 0xFF else value - (1 << (bits - 1))
    digits = field.replace(b"\0", b" ").strip()
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise BadImage(f"{what} {digits!r} in an archive is not an octal number")
    return int(digits, 8)


def parse_decimal(text: bytes, what: str) -> int:
    """A decimal number of an extended record. Raises BadImage."""
    if not text.isdigit() or len(text) > _DIGITS_MAX:
        raise BadImage(f"{what} {text[:40]!r} in an archive is not a number")
    return int(text)


def parse_time(record: bytes | None, octal: bytes) -> int:
    """Whole seconds; times before 1970 and after TIME_SECONDS_MAX become those limits."""
    if record is None:
        seconds = parse_number(octal, "time")
    elif record.startswith(b"-"):
        seconds = 0
    else:
        seconds = parse_decimal(record.partition(b".")[0], "time")
    return max(0, min(seconds, TIME_SECONDS_MAX))


def verify_checksum(header: bytes) -> None:
    """Raise BadImage unless the header sums up as it says."""
    said = parse_number(header[_CHECKSUM], "checksum")
    rest = header[:148] + b" " * 8 + header[156:]
    total = sum(rest)
    # Some old tars summed signed characters.
    if said not in (total, total - 256 * sum(byte > 127 for byte in rest)):
        raise BadImage("archive is damaged, or no tar archive: bad checksum of a header")


def parse_pax(data: bytes) -> list[tuple[bytes, bytes]]:
    r"""Records `length key=value\n` in order. Raises BadImage.

    >>> parse_pax(b"12 path=a/b\n")
    [(b'path', b'a/b')]
    """
    records = []
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + _DIGITS_MAX)
        length = parse_decimal(data[at:space] if space > 0 else b"", "record length")
        end = at + length
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end > len(data) or data[end - 1 : end] != b"\n" or not equals or end <= space + 1:
            raise BadImage("archive has a malformed extended header")
        if b"\0" in value and key in (b"path", b"linkpath", b"GNU.sparse.name"):
            raise BadImage("a name in an archive holds a zero byte")
        records.append((key, value))
        at = end
    return records


def old_sparse_segments(field: bytes) -> list[Segment]:
    """Pairs of 12-byte numbers in a GNU sparse header, up to the first empty one."""
    segments = []
    for at in range(0, len(field) - 23, 24):
        if not field[at + 12 : at + 24].strip(b"\0"):
            break
        offset = parse_number(field[at : at + 12], "sparse offset")
        segments.append(Segment(offset, parse_number(field[at + 12 : at + 24], "sparse length")))
    return segments


def pax_segments(records: list[tuple[bytes, bytes]]) -> list[Segment]:
    """The map of pax sparse forms 0.0 (repeated records) and 0.1 (one list)."""
    numbers: list[bytes] = []
    for key, value in records:
        if key in (b"GNU.sparse.offset", b"GNU.sparse.numbytes"):
            numbers.append(value)
        elif key == b"GNU.sparse.map":
            numbers = value.split(b",")
    if len(numbers) % 2 or len(numbers) > 2 * TAR_SPARSE_SEGMENTS_MAX:
        raise BadImage("sparse file whose map makes no sense")
    values = iter([parse_decimal(number, "sparse map") for number in numbers])
    return [Segment(offset, length) for offset, length in zip(values, values, strict=True)]


def check_segments(segments: list[Segment], *, stored: int, size: int) -> None:
    """Raise BadImage unless they ascend, stay within the file and add up to what is stored."""
    at = 0
    for offset, length in segments:
        if offset < at or length < 0:
            raise BadImage("sparse file whose pieces overlap")
        at = offset + length
    if at > size or sum(length for _, length in segments) != stored:
        raise BadImage("sparse file whose map does not fit its size")
