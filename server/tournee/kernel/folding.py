"""Texts as people look for them: without case, accents and width, alike on both databases.

`Müller`, `MULLER` and `Ｍuller` are equal, whether an accent is part of its letter or follows it. SQLite
calls `fold`, in Python. PostgreSQL has no such function without an extension, so `folded` writes the same in
SQL. It needs a database in UTF-8 whose locale knows more than ASCII, as every locale but `C` does.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from sqlalchemy import Integer, String, case, func, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

# The name of the function that each connection to SQLite gets.
SQLITE_FOLD = "tournee_fold"

# Accents of Latin, Greek and Cyrillic letters. Marks of other scripts make other letters, and stay.
_ACCENTS = "[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
# Lower-case letters that Unicode does not take apart.
_ALONE = {"ø": "o", "đ": "d", "ł": "l", "ħ": "h", "ı": "i", "ς": "σ"}
_AS_TWO = {"ß": "ss", "æ": "ae", "œ": "oe"}

_find_accents = re.compile(_ACCENTS)
_replaced = str.maketrans(_ALONE | _AS_TWO)


def fold(text: str | None) -> str | None:
    """Return the text as it is compared; None for None."""
    if text is None or text.isascii():
        return text and text.lower()
    plain = _find_accents.sub("", unicodedata.normalize("NFKD", text))
    # PostgreSQL lowers letter by letter, while Python looks at the letters around a final sigma.
    return "".join(map(str.lower, plain)).translate(_replaced)


class folded(FunctionElement[str]):  # noqa: N801 - used like an SQL function
    """`folded(column)`: the column as `fold` makes it."""

    type = String()
    name = SQLITE_FOLD
    inherit_cache = True


@compiles(folded, "postgresql")
def _on_postgresql(element: folded, compiler: SQLCompiler, **options: Any) -> str:
    (column,) = element.clauses
    plain = func.regexp_replace(
        func.normalize(column, literal_column("NFKD")), _sql(_ACCENTS), _sql(""), _sql("g")
    )
    other: Any = func.translate(
        func.lower(plain), *map(_sql, map("".join, zip(*_ALONE.items(), strict=True)))
    )
    for letter, two in _AS_TWO.items():
        other = func.replace(other, _sql(letter), _sql(two))
    # In UTF-8 only ASCII has as many bytes as characters, and most texts are ASCII.
    is_ascii = func.octet_length(column, type_=Integer) == func.char_length(column, type_=Integer)
    return compiler.process(case((is_ascii, func.lower(column)), else_=other), **options)


def _sql(text: str) -> Any:
    return literal_column(f"'{text}'")


@compiles(folded, "sqlite")
def _on_sqlite(element: folded, compiler: SQLCompiler, **options: Any) -> str:
    return f"{SQLITE_FOLD}({compiler.process(element.clauses, **options)})"
