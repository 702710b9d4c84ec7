"""A validator for the part of CDDL that grid.cddl uses.

pycddl parses the page (so it is CDDL), but mistakes lists of arrays and names
of members that are also rules, so it cannot judge our records.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

Check = Callable[[object], bool]
_TOKEN = re.compile(
    r'\s+|;[^\n]*|("[^"]*"|\.\.|\.size|\.regexp|[a-z][a-z0-9_-]*(?:\.[a-z][a-z0-9_-]*)*|\d+|[][()=:,/*?])'
)
_GROUND: dict[str, Check] = {
    "bool": lambda value: type(value) is bool,
    "bstr": lambda value: type(value) is bytes,
    "tstr": lambda value: type(value) is str,
    "uint": lambda value: type(value) is int and value >= 0,
}


@dataclass(frozen=True, slots=True)
class _Entry:
    """One member of an array, and how often it may stand there."""

    check: Check
    least: int
    most: int


class Page:
    """The rules of a page of CDDL."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self.rules: dict[str, Check] = {}
        self.used: set[str] = set()
        while self._at < len(self._tokens):
            name = self._next()
            assert name not in self.rules, f"{name} twice"
            self._expect("=")
            self.rules[name] = self._choice()

    def is_valid(self, rule: str, value: object) -> bool:
        """Whether `value` is what the rule says."""
        return self.rules[rule](value)

    # --- parsing ----------------------------------------------------------------------------------

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ""

    def _next(self) -> str:
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, token: str) -> None:
        found = self._next()
        assert found == token, f"expected {token!r}, found {found!r}"

    def _takes(self, token: str) -> bool:
        if self._peek() == token:
            self._at += 1
            return True
        return False

    def _choice(self) -> Check:
        checks = [self._limited()]
        while self._takes("/"):
            checks.append(self._limited())
        return checks[0] if len(checks) == 1 else lambda value: any(one(value) for one in checks)

    def _limited(self) -> Check:
        check = self._one()
        if self._takes(".size"):
            has_brackets = self._takes("(")
            low, high = self._bounds()
            if has_brackets:
                self._expect(")")
            return lambda value: check(value) and low <= len(value) <= high  # type: ignore[arg-type]  # bstr or tstr
        if self._takes(".regexp"):
            pattern = re.compile(self._next().strip('"'))
            return lambda value: check(value) and bool(pattern.fullmatch(str(value)))
        return check

    def _bounds(self) -> tuple[int, int]:
        low = int(self._next())
        return low, int(self._next()) if self._takes("..") else low

    def _one(self) -> Check:
        token = self._peek()
        if token == "[":
            return self._array()
        if token.isdigit():
            low, high = self._bounds()
            return lambda value: type(value) is int and low <= value <= high
        name = self._next()
        if name in _GROUND:
            return _GROUND[name]
        self.used.add(name)
        return partial(self.is_valid, name)

    def _array(self) -> Check:
        self._expect("[")
        entries = []
        while not self._takes("]"):
            least, most = self._occurrence()
            if self._peek(1) == ":":
                self._at += 2
            entries.append(_Entry(self._choice(), least, most))
            self._takes(",")
        return lambda value: type(value) is list and _fits(entries, value)

    def _occurrence(self) -> tuple[int, int]:
        if self._takes("?"):
            return 0, 1
        if self._peek() == "*" or self._peek(1) == "*":
            least = int(self._next()) if self._peek() != "*" else 0
            self._expect("*")
            return least, int(self._next()) if self._peek().isdigit() else 1 << 63
        return 1, 1


def _tokens(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match, f"not CDDL: {text[at : at + 40]!r}"
        if match[1]:
            yield match[1]
        at = match.end()


def _fits(entries: list[_Entry], items: list[object]) -> bool:
    if not entries:
        return not items
    first, *others = entries
    count = 0
    while count < min(first.most, len(items)) and first.check(items[count]):
        count += 1
    return any(_fits(others, items[taken:]) for taken in range(count, first.least - 1, -1))
