"""What is added up, alike on both databases: floats of any size, and the seconds between two times."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Float
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


class seconds(FunctionElement[int]):  # noqa: N801 - used like an SQL function
    """`seconds(column)`: the whole seconds of a time since 1970."""

    type = BigInteger()
    inherit_cache = True


@compiles(seconds, "postgresql")
def _seconds_on_postgresql(element: seconds, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(FLOOR(EXTRACT(EPOCH FROM {compiler.process(element.clauses, **options)})) AS BIGINT)"


@compiles(seconds, "sqlite")
def _seconds_on_sqlite(element: seconds, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(strftime('%s', {compiler.process(element.clauses, **options)}) AS INTEGER)"
