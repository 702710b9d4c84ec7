"""Small numbers for ids, as gridproxy's clients want them: the first 13 hex digits of the id.

52 bits are whole numbers in every language, JavaScript included, and whoever knows the id knows
the number. It takes part of the id only, so two ids may have one number: by accident once in a
million grids of 100,000 nodes, but on purpose anybody can make a key with the number of some node
of the grid within days. Such a number stands for none of them: who asks for it is told so, and
asks by the id. It never leads to another's node.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from p2pgrid.errors import BadInput
from p2pgrid.explorer.columns import Column
from p2pgrid.explorer.selection import Bools, Ints
from p2pgrid.model.ids import ID_BYTES

NUMBER_DIGITS = 13
"""Hex digits of an id that make its number."""

_BITS_LEFT_OUT = 64 - 4 * NUMBER_DIGITS
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_WHOLE_ID = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


def number_of(identity: bytes) -> int:
    """The number of an id.

    >>> number_of(bytes.fromhex("0000000000001" + "f" * 51))
    1
    """
    return int.from_bytes(identity[:8], "big") >> _BITS_LEFT_OUT


def numbers_of(ids: Column) -> Ints:
    """The numbers of a column of ids."""
    return (_words(ids)[:, 0] >> np.uint64(_BITS_LEFT_OUT)).astype(np.int64)


def order_of(ids: Column) -> tuple[Ints, Ints]:
    """What a column of ids is sorted by: in order of the numbers, and equal for equal ids only.

    Of two that agree in 126 bits, which nobody can make, either may come first.
    """
    words = _words(ids)
    first, second = (words[:, place] >> np.uint64(1) for place in (0, 1))
    return first.astype(np.int64), second.astype(np.int64)


@dataclass(frozen=True, slots=True)
class Named:
    """What a client names by its number, or by its whole id."""

    number: int
    identity: bytes | None
    """None when the number is all that was given."""

    def among(self, ids: Column) -> Bools:
        """Which of a column are meant."""
        found: Bools = numbers_of(ids) == self.number
        if self.identity is not None:
            found &= equal(ids, self.identity)
        return found

    def one_of(self, ids: Column, found: Bools, what: str) -> int | None:
        """The row that is meant, of those that were found; None when there is none.

        Raises:
            BadInput: the number stands for several.
        """
        rows = np.flatnonzero(found & self.among(ids))
        if len(rows) > 1:
            raise BadInput(f"the number {self.number} stands for several {what}s; give the id")
        return int(rows[0]) if len(rows) else None


def any_named(ids: Column, wanted: Sequence[Named]) -> Bools:
    """Which of a column are meant by one of these."""
    numbers = [one.number for one in wanted if one.identity is None]
    whole = [one.identity for one in wanted if one.identity is not None]
    found: Bools = np.isin(numbers_of(ids), numbers)
    return found | np.isin(ids, id_column(whole)) if whole else found


def read_named(text: str, what: str) -> Named:
    """What a client wrote. Raises BadInput."""
    if _WHOLE_ID.fullmatch(text):
        identity = bytes.fromhex(text)
        return Named(number_of(identity), identity)
    if not _NUMBER.fullmatch(text):
        raise BadInput(f"{what} is a whole number, or an id of 64 hex digits")
    return Named(int(text), None)


def equal(ids: Column, identity: bytes) -> Bools:
    """Which of a column are this id."""
    found: Bools = ids == np.bytes_(identity)
    return found


def id_column(ids: list[bytes]) -> Column:
    """Ids as a column."""
    return np.array(ids, f"S{ID_BYTES}")


def _words(ids: Column) -> np.ndarray[tuple[int, int], np.dtype[np.uint64]]:
    """Each id as four numbers of 64 bits. A column keeps the zeros at the end of an id."""
    words = np.ascontiguousarray(ids).view(">u8").reshape(-1, ID_BYTES // 8)
    return words.astype(np.uint64)
