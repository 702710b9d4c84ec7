"""What a query says, read strictly: no field is ignored, and no value is guessed.

Whoever filters for something must not get something else, so a field that this interface cannot
answer is refused by its name, with the reason.
"""

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from p2pgrid.api.fields import shown
from p2pgrid.errors import BadInput, InvalidRecord
from p2pgrid.gridproxy.numbers import Named, read_named
from p2pgrid.limits.gridproxy import FIELDS_MAX, FILTER_TEXT_BYTES_MAX, IDS_ASKED_MAX
from p2pgrid.limits.wire import INTEGER_MAX
from p2pgrid.model.ids import require_text

_WHOLE = re.compile(r"[0-9]{1,19}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?", re.ASCII)
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Value:
    """One field of a query. Everything raises BadInput."""

    name: str
    given: tuple[str, ...]
    """Lists may be written as one text with commas, or as the field again and again."""

    def text(self) -> str:
        """A text that is not empty."""
        if len(self.given) > 1:
            raise BadInput(f"{self.name} is there {len(self.given)} times")
        return self._checked(self.given[0])

    def texts(self, most: int = IDS_ASKED_MAX) -> tuple[str, ...]:
        """A list of texts that are not empty."""
        found = [one for text in self.given for one in text.split(",", most)]
        if len(found) > most:
            raise BadInput(f"{self.name} lists more than {most}")
        return tuple(map(self._checked, found))

    def whole(self, *, least: int = 0, most: int = INTEGER_MAX) -> int:
        """A whole number."""
        text = self.text()
        if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
            raise BadInput(
                f"{self.name} is a whole number from {least} to {most}, not {shown(text)}"
            )
        return int(text)

    def decimal(self) -> float:
        """A number that is not negative."""
        text = self.text()
        if not _DECIMAL.fullmatch(text):
            raise BadInput(f"{self.name} is a number, such as 12.5, not {shown(text)}")
        return float(text)

    def flag(self) -> bool:
        """Yes or no."""
        text = self.text()
        if text.casefold() not in _FLAGS:
            raise BadInput(f"{self.name} is true or false, not {shown(text)}")
        return _FLAGS[text.casefold()]

    def choice(self, known: Collection[str]) -> str:
        """One of the known texts, in any case."""
        return self._choose(self.text(), known)

    def choices(self, known: Collection[str]) -> frozenset[str]:
        """Some of the known texts."""
        return frozenset(self._choose(one, known) for one in self.texts())

    def named(self) -> Named:
        """A number, or an id in hex."""
        return read_named(self.text(), self.name)

    def all_named(self) -> tuple[Named, ...]:
        """A list of numbers or ids."""
        return tuple(read_named(one, self.name) for one in self.texts())

    def _choose(self, text: str, known: Collection[str]) -> str:
        for one in known:
            if one.casefold() == text.casefold():
                return one
        raise BadInput(f"{shown(text)} is no {self.name}; there are {', '.join(known)}")

    def _checked(self, text: str) -> str:
        try:
            require_text(text, self.name, bytes_max=FILTER_TEXT_BYTES_MAX)
        except InvalidRecord as error:
            raise BadInput(str(error)) from None
        if not text:
            raise BadInput(f"{self.name} is empty")
        return text


def read_query(query: str) -> dict[str, Value]:
    """The fields of a query by name. Raises BadInput."""
    try:
        fields = parse_qs(query, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        raise BadInput(f"the query is not UTF-8, or has more than {FIELDS_MAX} fields") from None
    return {name: Value(name, tuple(given)) for name, given in fields.items()}


def require_known(
    fields: Mapping[str, Value], known: Collection[str], refused: Mapping[str, str]
) -> None:
    """Refuse what nobody knows, and what cannot be answered. Raises BadInput.

    Args:
        fields: what the query has.
        known: what it may have.
        refused: names that gridproxy has and we do not, and why.
    """
    for name in fields:
        if name in refused:
            raise BadInput(f"{name}: {refused[name]}")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known) or 'none'}"
            raise BadInput(f"there is no {shown(name)} here; {hint}")
