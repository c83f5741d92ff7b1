"""Lists of texts that a column holds as JSON: whether a text is in one, alike on both databases."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BindParameter
from sqlalchemy.sql.functions import FunctionElement


class has_text(FunctionElement[bool]):  # noqa: N801 - used like an SQL function
    """`has_text(column, text)`: whether the list in the column holds this text."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: Any, value: Any) -> None:
        super().__init__(column, value if isinstance(value, BindParameter) else bindparam(None, value))


@compiles(has_text, "postgresql")
def _on_postgresql(element: has_text, compiler: SQLCompiler, **options: Any) -> str:
    column, value = (compiler.process(one, **options) for one in element.clauses)
    # PostgreSQL raises an error for a value that is not a list.
    listed = f"CASE json_typeof({column}) WHEN 'array' THEN {column} ELSE '[]' END"
    return f"({value} IN (SELECT json_array_elements_text({listed})))"


@compiles(has_text, "sqlite")
def _on_sqlite(element: has_text, compiler: SQLCompiler, **options: Any) -> str:
    column, value = (compiler.process(one, **options) for one in element.clauses)
    listed = f"CASE json_type({column}) WHEN 'array' THEN {column} ELSE '[]' END"
    return f"({value} IN (SELECT value FROM json_each({listed})))"  # noqa: S608 - of compiled parts
