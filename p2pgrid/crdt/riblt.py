"""Rateless invertible Bloom lookup table: the differences of two sets from a stream of symbols.

Every item, a keyed 64-bit short hash, falls into a sequence of cells that follows
from it: into all of the first, and into cell i with probability 1 / (1 + i/2).
A symbol is what is in one cell:

    sum      XOR of the items      8 bytes
    check    XOR of their checks   4 bytes

The XOR of both sides' symbols holds only what the sides do not share. A cell with
one item shows it by its check; taken out of its other cells, it uncovers more.
About 1.4 symbols a difference are enough, and nobody has to know the number before.

Whatever a peer sends: symbols and steps are bounded, and no item is found twice.

Source: L. Yang, Y. Gilad, M. Alizadeh: Practical Rateless Set Reconciliation (SIGCOMM 2024).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from p2pgrid.crdt.short_hash import Words
from p2pgrid.errors import BrokenProtocol
from p2pgrid.limits.crdt import RIBLT_STEPS_MAX, RIBLT_SYMBOLS_MAX

SYMBOL_BYTES = 12

_PLACES = NDArray[np.int64]
_SYMBOL = np.dtype([("sum", "<u8"), ("check", "<u4")])
_STEP = np.uint64(0xDA942042E4DD58B5)
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_HALF = np.uint64(32)


@dataclass(slots=True)
class Cells:
    """Symbols from the first on."""

    sums: Words
    checks: Words

    @classmethod
    def of(cls, size: int) -> "Cells":
        """Empty ones."""
        return cls(np.zeros(size, np.uint64), np.zeros(size, np.uint64))

    def __len__(self) -> int:
        return len(self.sums)

    def extend(self, more: "Cells") -> None:
        """Append symbols."""
        self.sums = np.concatenate((self.sums, more.sums))
        self.checks = np.concatenate((self.checks, more.checks))

    def put(self, places: _PLACES, items: Words, checks: Words) -> None:
        """Put items into cells, or take them out: it is the same."""
        np.bitwise_xor.at(self.sums, places, items)
        np.bitwise_xor.at(self.checks, places, checks)

    def encode(self, first: int, end: int) -> bytes:
        """What travels of the symbols `first` to `end`, which is not among them."""
        symbols = np.empty(end - first, _SYMBOL)
        symbols["sum"] = self.sums[first:end]
        symbols["check"] = self.checks[first:end]
        return symbols.tobytes()


def decode_cells(data: bytes) -> Cells:
    """Symbols that came from a peer; `data` has a multiple of SYMBOL_BYTES."""
    symbols = np.frombuffer(data, _SYMBOL)
    return Cells(symbols["sum"].astype(np.uint64), symbols["check"].astype(np.uint64))


class Encoder:
    """The symbols of one set, as far as they were asked for."""

    def __init__(self, items: Words) -> None:
        self.items = items
        self.cells = Cells.of(0)
        self._checks = check_of(items)
        self._states = items.copy()
        self._places = np.zeros(len(items), np.int64)
        """The next cell of each item that is not filled in yet."""

    def extend(self, size: int) -> None:
        """Make `size` symbols known, at most RIBLT_SYMBOLS_MAX."""
        assert size <= RIBLT_SYMBOLS_MAX
        if size <= len(self.cells):
            return
        self.cells.extend(Cells.of(size - len(self.cells)))
        active = np.flatnonzero(self._places < size)
        while len(active):
            places = self._places[active]
            self.cells.put(places, self.items[active], self._checks[active])
            states, places = _advance(self._states[active], places)
            self._states[active], self._places[active] = states, places
            active = active[places < size]


class Decoder:
    """Finds what only one side has. Give it the peer's symbols in order.

    Args:
        ours: the symbols of our set, by the same key.
    """

    def __init__(self, ours: Encoder) -> None:
        self._ours = ours
        self._cells = Cells.of(0)
        """What both sides' symbols leave, less what was found."""
        self._found: set[int] = set()
        self._steps = 0

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def is_done(self) -> bool:
        """Whether all differences are found."""
        cells = self._cells
        return len(cells) > 0 and not (cells.sums.any() or cells.checks.any())

    @property
    def is_exhausted(self) -> bool:
        """Whether a limit was reached, so that more symbols are of no use."""
        return self._steps >= RIBLT_STEPS_MAX or len(self) >= RIBLT_SYMBOLS_MAX

    def receive(self, theirs: Cells) -> None:
        """Take the next symbols.

        Raises:
            BrokenProtocol: they are symbols of no set.
        """
        first, size = len(self), len(self) + len(theirs)
        self._ours.extend(size)
        theirs.sums ^= self._ours.cells.sums[first:size]
        theirs.checks ^= self._ours.cells.checks[first:size]
        self._cells.extend(theirs)
        known = np.fromiter(self._found, np.uint64, len(self._found))
        self._take_out(known, first)
        self._peel(np.arange(first, size, dtype=np.int64))

    def differences(self) -> tuple[Words, Words]:
        """The items that only we have, and those that only the peer has. After `is_done`."""
        found = np.fromiter(self._found, np.uint64, len(self._found))
        found.sort()
        ours = self._ours.items[np.isin(self._ours.items, found)]
        return ours, found[~np.isin(found, ours)]

    def _peel(self, touched: _PLACES) -> None:
        """Take out every item that is alone in a cell, as long as that uncovers more."""
        while len(touched) and self._steps < RIBLT_STEPS_MAX:
            self._steps += 1
            sums = self._cells.sums[touched]
            is_single = (sums != 0) & (self._cells.checks[touched] == check_of(sums))
            items = np.unique(sums[is_single])
            fresh = set(items.tolist())
            if not self._found.isdisjoint(fresh) or len(self._found) + len(fresh) > len(self):
                raise BrokenProtocol("symbols of no set")
            self._found |= fresh
            touched = self._take_out(items, 0)

    def _take_out(self, items: Words, first: int) -> _PLACES:
        """Take items out of the cells from `first` on; give the cells that it touched."""
        states, places, checks = items.copy(), np.zeros(len(items), np.int64), check_of(items)
        touched = np.zeros(len(self), np.bool_)
        while len(items):
            is_here = places >= first
            self._cells.put(places[is_here], items[is_here], checks[is_here])
            touched[places[is_here]] = True
            states, places = _advance(states, places)
            goes_on = places < len(self)
            items, checks = items[goes_on], checks[goes_on]
            states, places = states[goes_on], places[goes_on]
        return np.flatnonzero(touched)


def check_of(items: Words) -> Words:
    """32 bits of each item. No linear function: the XOR of two checks is no check of the XOR."""
    mixed = items * _MIX
    mixed ^= mixed >> _HALF
    mixed *= _STEP
    result: Words = mixed >> _HALF
    return result


def _advance(states: Words, places: _PLACES) -> tuple[Words, _PLACES]:
    """The next cell of each item: far ones get rarer with the distance."""
    states = states * _STEP
    reach = 2.0**32 / np.sqrt(states.astype(np.float64) + 1.0) - 1.0
    return states, places + np.ceil((places + 1.5) * reach).astype(np.int64)
