"""Strict JSON from outside: bounded, no duplicate keys, typed access with clear errors."""

import json
from collections.abc import Mapping
from typing import NoReturn

from p2pgrid.errors import BadImage
from p2pgrid.limits.flist import IMAGE_CONFIG_ITEMS_MAX, IMAGE_MANIFEST_BYTES_MAX


def parse_document(data: bytes, what: str) -> Mapping[str, object]:
    """The JSON object in `data`. Raises BadImage, naming `what` it was."""
    value = _parse(data, what)
    if not isinstance(value, dict):
        raise BadImage(f"{what} is not a JSON object")
    return value


def parse_documents(data: bytes, what: str) -> list[object]:
    """The JSON array in `data`. Raises BadImage."""
    value = _parse(data, what)
    if not isinstance(value, list) or len(value) > IMAGE_CONFIG_ITEMS_MAX:
        raise BadImage(f"{what} is not a JSON array, or one that is too long")
    return value


def _parse(data: bytes, what: str) -> object:
    if len(data) > IMAGE_MANIFEST_BYTES_MAX:
        raise BadImage(f"{what} has {len(data)} bytes; {IMAGE_MANIFEST_BYTES_MAX} is the limit")
    try:
        return json.loads(
            data.decode(), object_pairs_hook=_without_duplicates, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        raise BadImage(f"{what} is not valid JSON: {error}") from error


def text(document: Mapping[str, object], key: str) -> str:
    """A text, "" where it is missing or null. Raises BadImage."""
    value = document.get(key)
    return "" if value is None else check_text(value, key)


def texts(document: Mapping[str, object], key: str) -> tuple[str, ...]:
    """A list of texts, empty where it is missing or null. Raises BadImage."""
    return tuple(check_text(value, key) for value in items(document, key))


def items(document: Mapping[str, object], key: str) -> list[object]:
    """A list, empty where it is missing or null. Raises BadImage."""
    values = document.get(key)
    if values is None:
        return []
    if not isinstance(values, list) or len(values) > IMAGE_CONFIG_ITEMS_MAX:
        raise BadImage(f"{key} of an image is not a list, or one that is too long")
    return values


def mapping(document: Mapping[str, object], key: str) -> Mapping[str, object]:
    """An object, empty where it is missing or null. Raises BadImage."""
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > IMAGE_CONFIG_ITEMS_MAX:
        raise BadImage(f"{key} of an image is not an object, or one that is too long")
    return value


def check_text(value: object, what: str) -> str:
    """`value`, when it is a text that can be passed to a program. Raises BadImage."""
    if not isinstance(value, str) or "\0" in value:
        raise BadImage(f"{what} of an image is not a text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadImage(f"{what} of an image is not valid Unicode") from error
    return value


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key stands there twice")
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
