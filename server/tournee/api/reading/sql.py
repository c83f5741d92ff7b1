"""What differs between the databases: how a value becomes JSON, and how rows become an array of it.

Outside of JSON a value is what the driver makes of it, where orjson writes that as the API does; else text.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import String
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class _Made(FunctionElement[Any]):
    """SQL that is made of its arguments alone."""

    inherit_cache = True
    type = String()
    # For PostgreSQL and for SQLite, with {0} in place of the arguments.
    postgresql: str
    sqlite: str


class id_text(_Made):  # noqa: N801 - these read as functions of SQL
    """An id as text."""

    postgresql = "CAST({0} AS TEXT)"
    sqlite = (
        "substr({0}, 1, 8) || '-' || substr({0}, 9, 4) || '-' || substr({0}, 13, 4) || '-' ||"
        " substr({0}, 17, 4) || '-' || substr({0}, 21)"
    )


class as_text(_Made):  # noqa: N801
    """A text, whatever SQLAlchemy would make of it."""

    postgresql = sqlite = "{0}"


class time(_Made):  # noqa: N801
    """A time as the driver returns it; with SQLite as text."""

    postgresql = "{0}"
    sqlite = "replace(replace({0}, ' ', 'T') || 'Z', '.000000Z', 'Z')"


class time_text(_Made):  # noqa: N801
    """A time as text: PostgreSQL's own JSON leaves out zeros at the end."""

    postgresql = (
        "replace(to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), '.000000Z', 'Z')"
    )
    sqlite = time.sqlite


class date_text(_Made):  # noqa: N801
    """A date as text."""

    postgresql = "CAST({0} AS TEXT)"
    sqlite = "{0}"


class float_text(_Made):  # noqa: N801
    """A float as text: SQLite's JSON has only 15 digits of it, and PostgreSQL's no sign of a zero."""

    postgresql = "CAST({0} AS TEXT)"
    sqlite = "quote({0})"


class json_text(_Made):  # noqa: N801
    """A JSON value as text."""

    postgresql = "CAST({0} AS TEXT)"
    sqlite = "{0}"


class json_inside(_Made):  # noqa: N801
    """A JSON value for use within JSON."""

    postgresql = "{0}"
    sqlite = "json({0})"


class json_row(_Made):  # noqa: N801
    """An array of values."""

    postgresql = "json_build_array({0})"
    sqlite = "json_array({0})"


class json_rows(_Made):  # noqa: N801
    """An array of the values of all rows, in their order; PostgreSQL's is NULL for no rows."""

    postgresql = "json_agg({0})"
    sqlite = "json_group_array(json({0}))"


@compiles(_Made, "postgresql")
def _on_postgresql(element: _Made, compiler: Any, **options: Any) -> str:
    return _filled(element.postgresql, element, compiler, options)


@compiles(_Made, "sqlite")
def _on_sqlite(element: _Made, compiler: Any, **options: Any) -> str:
    return _filled(element.sqlite, element, compiler, options)


def _filled(template: str, element: _Made, compiler: Any, options: dict[str, Any]) -> str:
    return template.replace("{0}", compiler.process(element.clauses, **options))
