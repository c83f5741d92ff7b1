"""Texts without their case, alike on both databases.

SQLite lowers ASCII letters only. PostgreSQL lowers letter by letter, and makes of the Turkish `İ` a bare `i`,
which then stands in almost every text; Unicode makes it an `i` with a dot above it. Both are given the
same rule here: each letter by itself, `İ` as Unicode has it. (PostgreSQL's part needs a database whose
locale knows more than ASCII, as every locale but `C` does.)
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import String, func
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

# The name of the function that each connection to SQLite gets.
SQLITE_FOLD = "tournee_fold"

_DOTTED, _AS_TWO = "İ", "i̇"


def fold(text: str | None) -> str | None:
    """Return the text in lower case, letter by letter; None for None."""
    return None if text is None else "".join(map(str.lower, text))


class folded(FunctionElement[str]):  # noqa: N801 - used like an SQL function
    """`folded(column)`: the column as `fold` makes it."""

    type = String()
    name = SQLITE_FOLD
    inherit_cache = True


@compiles(folded, "postgresql")
def _on_postgresql(element: folded, compiler: SQLCompiler, **options: Any) -> str:
    (column,) = element.clauses
    return compiler.process(func.lower(func.replace(column, _DOTTED, _AS_TWO)), **options)


@compiles(folded, "sqlite")
def _on_sqlite(element: folded, compiler: SQLCompiler, **options: Any) -> str:
    return f"{SQLITE_FOLD}({compiler.process(element.clauses, **options)})"
