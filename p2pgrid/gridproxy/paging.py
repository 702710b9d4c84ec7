"""Which part of a list, and in which order: `size page ret_count randomize sort_by sort_order`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import cast

import numpy as np

from p2pgrid.errors import BadInput
from p2pgrid.explorer.selection import Ints, Key, first_rows
from p2pgrid.gridproxy.parameters import Value
from p2pgrid.limits.gridproxy import PAGE_ROWS, PAGE_ROWS_MAX, PAGES_MAX

PAGING_FIELDS = ("size", "page", "ret_count", "randomize", "sort_by", "sort_order")

_ORDERS = ("ASC", "DESC")


@dataclass(frozen=True, slots=True)
class Paging:
    """What a client asked for."""

    size: int = PAGE_ROWS
    page: int = 1
    is_counted: bool = False
    is_random: bool = False
    sort_by: str = ""
    """Empty: in the order of the list's own ids."""
    is_descending: bool = False

    def cut(self, rows: Ints, order: Sequence[Key], random: Random) -> Ints:
        """The rows of the page, in order.

        Args:
            rows: numbers of all that match.
            order: what they are compared by.
            random: for a random order, which is another for each page.
        """
        skip = (self.page - 1) * self.size
        count = min(len(rows), skip + self.size)
        if self.is_random:
            shuffled = np.random.default_rng(random.getrandbits(64)).permutation(rows)
            return shuffled[skip:count]
        if self.is_descending:
            first, *rest = order
            order = [lambda some: cast(Ints, first(some)) * -1, *rest]
        return first_rows(order, rows, count)[skip:]

    def headers(self, total: int) -> dict[str, str]:
        """How much there is in all, if that was asked for."""
        if not self.is_counted:
            return {}
        pages = -(-total // self.size)
        return {"count": str(total), "size": str(self.size), "pages": str(pages)}


@dataclass(frozen=True, slots=True)
class Sorts:
    """By what a list can be sorted."""

    known: Sequence[str]
    refused: Mapping[str, str] = field(default_factory=dict)
    """What gridproxy sorts by and we cannot, and why."""


def read_paging(fields: Mapping[str, Value], sorts: Sorts) -> Paging:
    """What the query says of it. Raises BadInput."""
    default = Paging()
    given = fields.get
    size, page, counted, shuffled = map(given, ("size", "page", "ret_count", "randomize"))
    sort_by, order = given("sort_by"), given("sort_order")
    name = sort_by.text() if sort_by else default.sort_by
    if name in sorts.refused:
        raise BadInput(f"sort_by {name}: {sorts.refused[name]}")
    return Paging(
        size=size.whole(least=1, most=PAGE_ROWS_MAX) if size else default.size,
        page=page.whole(least=1, most=PAGES_MAX) if page else default.page,
        is_counted=counted.flag() if counted else default.is_counted,
        is_random=shuffled.flag() if shuffled else default.is_random,
        sort_by=sort_by.choice(sorts.known) if sort_by else default.sort_by,
        is_descending=order is not None and order.choice(_ORDERS) == "DESC",
    )
