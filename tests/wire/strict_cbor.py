"""A second reader of our part of CBOR, straight from RFC 8949, 4.2.1, to compare the codec to."""


class NotCanonical(ValueError):
    """Bytes that are not exactly one value of the part of CBOR that we use."""


def read_strictly(data: bytes) -> object:
    """The one value in `data`: nested lists of ints, bytes, texts and booleans."""
    value, end = _value(data, 0)
    if end != len(data):
        raise NotCanonical("trailing bytes")
    return value


def _value(data: bytes, at: int) -> tuple[object, int]:
    if data[at : at + 1] in (b"\xf4", b"\xf5"):
        return data[at] == 0xF5, at + 1
    major, number, at = _head(data, at)
    if major == 0:
        return number, at
    if major in (2, 3):
        piece = data[at : at + number]
        if len(piece) != number:
            raise NotCanonical("ends too early")
        try:
            return (piece if major == 2 else piece.decode()), at + number
        except UnicodeDecodeError as error:
            raise NotCanonical("not UTF-8") from error
    if major == 4:
        items = []
        for _ in range(number):
            item, at = _value(data, at)
            items.append(item)
        return items, at
    raise NotCanonical(f"major type {major}")


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    if at >= len(data):
        raise NotCanonical("ends too early")
    major, short = data[at] >> 5, data[at] & 31
    if short < 24:
        return major, short, at + 1
    if short > 27:
        raise NotCanonical("indefinite or reserved length")
    size = 1 << (short - 24)
    number = int.from_bytes(data[at + 1 : at + 1 + size], "big")
    least = 24 if size == 1 else 1 << (8 * size // 2)
    if len(data) < at + 1 + size or number < least:
        raise NotCanonical("ends too early, or is longer than needed")
    return major, number, at + 1 + size
