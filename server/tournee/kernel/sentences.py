"""Sentences below the names of a class: what a field or an enum's value is, for readers of the schema.

    class Priority(StrEnum):
        URGENT = "URGENT"
        \"\"\"Somebody has to go today.\"\"\"

They are read from the source, because Python keeps the docstring of a class and drops those of its names.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any


def sentences(kind: type[Any]) -> Mapping[str, str]:
    """Return the sentence below each name of a class and of its bases, for the names that have one."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        found |= _of_module(base.__module__).get(base.__qualname__, {})
    return found


@cache
def _of_module(name: str) -> Mapping[str, Mapping[str, str]]:
    # Libraries have no descriptions for us, and a class made at run time has no source.
    if name.partition(".")[0] != "tournee":
        return {}
    tree = ast.parse(inspect.getsource(sys.modules[name]))
    return {node.name: dict(_of_class(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _of_class(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for statement, below in zip(node.body, node.body[1:], strict=False):
        match statement, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, " ".join(text.split())
