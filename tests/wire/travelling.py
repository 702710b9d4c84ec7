"""Every class that travels or rests: registered records, and whatever is encoded or decoded."""

import ast
import importlib
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import p2pgrid
from p2pgrid.wire.codec import record_classes, variant_tag

PACKAGE = Path(p2pgrid.__file__).parent


def rule_name(cls: type) -> str:
    """Its name in grid.cddl: `node-announcement`, outside the model `net.hello`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__.strip("_")).lower()
    folder = cls.__module__.split(".")[1]
    return words if folder in {"model", "wire"} else f"{folder}.{words}"


@cache
def travelling_classes() -> tuple[type, ...]:
    """Registered records, what is decoded or encoded by name, and what `messages.py` files hold."""
    found: set[type] = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        names = _decoded_names(tree) | _encoded_names(tree)
        if path.name == "messages.py":
            names |= {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
        if names or "@record(" in path.read_text():
            module = importlib.import_module(_module_name(path))
            values = (getattr(module, name, None) for name in names)
            found |= {one for one in values if isinstance(one, type) and is_dataclass(one)}
    # Variants travel inside the record whose field they stand in.
    found = {cls for cls in found if variant_tag(cls) is None}
    found |= set(record_classes().values())
    return tuple(sorted(found, key=lambda cls: (cls.__module__, cls.__name__)))


def _module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Name of the function and first argument of every call that has one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            function: Any = node.func
            yield getattr(function, "id", ""), node.args[0]


def _decoded_names(tree: ast.AST) -> set[str]:
    return {
        first.id
        for function, first in _calls(tree)
        if function in {"decode", "verify"} and isinstance(first, ast.Name)
    }


def _encoded_names(tree: ast.AST) -> set[str]:
    return {
        first.func.id
        for function, first in _calls(tree)
        if function == "encode" and isinstance(first, ast.Call) and isinstance(first.func, ast.Name)
    }
