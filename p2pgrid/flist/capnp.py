"""A strict reader of Cap'n Proto messages, as far as old flists need it. Pure.

A message is a few segments of 8-byte words. A pointer says how far away a struct or a list
begins, perhaps in another segment (far pointers). Whatever leads out of a segment is refused, and
nobody reads more words of a message than it has: pointers that share their targets would make a
small message endless. Format: capnproto.org/encoding.html, unpacked.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from p2pgrid.errors import BadImage
from p2pgrid.limits.flist import CAPNP_DEPTH_MAX, CAPNP_SEGMENTS_MAX

_WORD_BYTES = 8
_STRUCT, _LIST, _FAR = 0, 1, 2
_BYTES, _STRUCTS = 2, 7  # sizes of elements of lists


class Message:
    """One message, and how much of it may still be read."""

    def __init__(self, data: bytes) -> None:
        """Split it into segments. Raises BadImage."""
        count = int.from_bytes(data[:4], "little") + 1
        if len(data) < _WORD_BYTES or count > CAPNP_SEGMENTS_MAX:
            raise BadImage("old flist has an entry that is no message")
        sizes = [int.from_bytes(data[4 * n : 4 * n + 4], "little") for n in range(1, count + 1)]
        at = 4 * (count + 1 + (count + 1) % 2)
        self.segments: list[bytes] = []
        for size in sizes:
            self.segments.append(data[at : at + size * _WORD_BYTES])
            at += size * _WORD_BYTES
        if at != len(data):
            raise BadImage("old flist has a message of another length than it says")
        self._words_left = sum(sizes)

    def root(self) -> "Struct":
        """The struct that the message is. Raises BadImage."""
        return _struct_at(self, 0, 0, depth=0)

    def word(self, segment: int, at: int) -> int:
        """The word at a place. Raises BadImage where there is none."""
        self.check(segment, at, 1)
        start = at * _WORD_BYTES
        return int.from_bytes(self.segments[segment][start : start + _WORD_BYTES], "little")

    def check(self, segment: int, at: int, words: int) -> None:
        """Raise BadImage unless a segment has these words."""
        if segment >= len(self.segments):
            raise BadImage("old flist has a pointer to a segment that is not there")
        if at < 0 or (at + words) * _WORD_BYTES > len(self.segments[segment]):
            raise BadImage("old flist has a pointer out of its message")

    def spend(self, words: int) -> None:
        """Note that so much is read now. Raises BadImage when that is more than there is."""
        self._words_left -= words
        if self._words_left < 0:
            raise BadImage("old flist has pointers that share what they point to")


@dataclass(frozen=True, slots=True)
class Struct:
    """Numbers and pointers. What a struct is too short for is 0 or empty, as the format says."""

    message: Message
    segment: int
    at: int
    data_words: int
    pointers: int
    depth: int

    def number(self, number: int, size: int) -> int:
        """The unsigned number of `size` bytes in place `number`, counted in its own size."""
        if (number + 1) * size > self.data_words * _WORD_BYTES:
            return 0
        start = self.at * _WORD_BYTES + number * size
        return int.from_bytes(self.message.segments[self.segment][start : start + size], "little")

    def binary(self, number: int) -> bytes:
        """The bytes that pointer `number` leads to. Raises BadImage."""
        found = self._list(number)
        if found is None:
            return b""
        segment, at, kind, count = found
        words = -(-count // _WORD_BYTES)
        if kind != _BYTES:
            raise BadImage("old flist has something else where bytes belong")
        self.message.check(segment, at, words)
        self.message.spend(words)
        return self.message.segments[segment][at * _WORD_BYTES : at * _WORD_BYTES + count]

    def text(self, number: int) -> bytes:
        """As `binary`, without the zero that ends it. Raises BadImage."""
        data = self.binary(number)
        if data and data[-1] != 0:
            raise BadImage("old flist has a text without an end")
        return data[:-1]

    def struct(self, number: int) -> "Struct":
        """The struct that pointer `number` leads to. Raises BadImage."""
        if number >= self.pointers:
            return Struct(self.message, 0, 0, 0, 0, self.depth)
        return _struct_at(self.message, self.segment, self._pointer(number), depth=self.depth + 1)

    def structs(self, number: int) -> Iterator["Struct"]:
        """The structs of a list. Raises BadImage."""
        found = self._list(number)
        if found is None:
            return
        segment, at, kind, words = found
        if kind != _STRUCTS:
            raise BadImage("old flist has something else where structs belong")
        self.message.check(segment, at, words + 1)
        tag = self.message.word(segment, at)
        count, data_words, pointers = _signed(tag & 0xFFFFFFFF) >> 2, tag >> 32 & 0xFFFF, tag >> 48
        size = data_words + pointers
        if tag & 3 != _STRUCT or count < 0 or count * size > words:
            raise BadImage("old flist has a list that is longer than it says")
        for place in range(count):
            self.message.spend(max(1, size))
            start = at + 1 + place * size
            yield Struct(self.message, segment, start, data_words, pointers, self.depth + 1)

    def _pointer(self, number: int) -> int:
        return self.at + self.data_words + number

    def _list(self, number: int) -> tuple[int, int, int, int] | None:
        """Where a list is: segment, place, size of elements, count; None: there is none."""
        if number >= self.pointers:
            return None
        segment, start, pointer = _follow(self.message, self.segment, self._pointer(number))
        if pointer == 0:
            return None
        if pointer & 3 != _LIST:
            raise BadImage("old flist has something else where a list belongs")
        return segment, start, pointer >> 32 & 7, pointer >> 35


def _struct_at(message: Message, segment: int, at: int, *, depth: int) -> Struct:
    if depth > CAPNP_DEPTH_MAX:
        raise BadImage("old flist has a message that is nested too deeply")
    segment, start, pointer = _follow(message, segment, at)
    if pointer == 0:
        return Struct(message, 0, 0, 0, 0, depth)
    if pointer & 3 != _STRUCT:
        raise BadImage("old flist has something else where a struct belongs")
    data_words, pointers = pointer >> 32 & 0xFFFF, pointer >> 48
    message.check(segment, start, data_words + pointers)
    message.spend(data_words + pointers)
    return Struct(message, segment, start, data_words, pointers, depth)


def _follow(message: Message, segment: int, at: int) -> tuple[int, int, int]:
    """What a pointer means: segment and place of its target, and the word that tells its kind."""
    word = message.word(segment, at)
    if word & 3 != _FAR:
        return segment, at + 1 + (_signed(word & 0xFFFFFFFF) >> 2), word
    segment, at, is_double = word >> 32, word >> 3 & 0x1FFFFFFF, word >> 2 & 1
    landing = message.word(segment, at)
    message.spend(1)
    if not is_double:
        if landing & 3 == _FAR:
            raise BadImage("old flist has a far pointer to another one")
        return segment, at + 1 + (_signed(landing & 0xFFFFFFFF) >> 2), landing
    message.spend(1)
    if landing & 7 != _FAR:
        raise BadImage("old flist has a far pointer to something else")
    return landing >> 32, landing >> 3 & 0x1FFFFFFF, message.word(segment, at + 1)


def _signed(value: int) -> int:
    """A number of 32 bits, which may be negative."""
    return value - (1 << 32) if value >> 31 else value
