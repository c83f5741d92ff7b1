"""Sums of floats that no database refuses for their size."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class exact(FunctionElement[float]):  # noqa: N801 - used like an SQL function
    """`exact(column)`: a float to be added up. PostgreSQL refuses a sum that no float holds."""

    type = Float()
    inherit_cache = True


@compiles(exact, "postgresql")
def _on_postgresql(element: exact, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS NUMERIC)"


@compiles(exact, "sqlite")
def _on_sqlite(element: exact, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)
