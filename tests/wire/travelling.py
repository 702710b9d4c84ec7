"""Every class that travels or rests: registered records, and whatever p2pgrid decodes."""

import ast
import importlib
import re
from functools import cache
from pathlib import Path
from typing import Any

import p2pgrid
from p2pgrid.wire.codec import record_classes

PACKAGE = Path(p2pgrid.__file__).parent
OPENING = {"decode", "verify"}


def rule_name(cls: type) -> str:
    """Its name in grid.cddl: `node-announcement`, outside the model `net.hello`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__.strip("_")).lower()
    folder = cls.__module__.split(".")[1]
    return words if folder in {"model", "wire"} else f"{folder}.{words}"


@cache
def travelling_classes() -> tuple[type, ...]:
    """Registered records, and every class named in a call of `decode` or `verify`."""
    found: set[type] = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        names = _decoded_names(ast.parse(path.read_text()))
        if names or "@record(" in path.read_text():
            module = importlib.import_module(_module_name(path))
            found |= {cls for name in names if isinstance(cls := getattr(module, name, None), type)}
    found |= set(record_classes().values())
    return tuple(sorted(found, key=lambda cls: (cls.__module__, cls.__name__)))


def _module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def _decoded_names(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Name):
            function: Any = node.func
            if (getattr(function, "id", None) or getattr(function, "attr", None)) in OPENING:
                names.add(node.args[0].id)
    return names
