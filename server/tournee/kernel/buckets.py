"""Time buckets: the hour, day, week, month or year of a time in a time zone, alike on both databases."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo, available_timezones

from sqlalchemy import Date, String, bindparam, case, type_coerce
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

# Zone files outside the package differ from machine to machine.
TIME_ZONES: Final = available_timezones() - {"localtime", "Factory"}

# The name of the function that each connection to SQLite gets.
SQLITE_BUCKET: Final = "tournee_bucket"

# Every bucket of the times between these lies in the years 1 to 9999, whatever the zone.
_FIRST, _LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


class TimeUnit(enum.StrEnum):
    """How long a bucket is."""

    HOUR = "HOUR"
    """One hour. When clocks are put back, the repeated hour is a group by itself."""
    DAY = "DAY"
    """One calendar day."""
    WEEK = "WEEK"
    """One week, which begins on Monday."""
    MONTH = "MONTH"
    """One calendar month."""
    YEAR = "YEAR"
    """One calendar year."""


def bucket(unit: TimeUnit, column: Any, zone: str) -> Any:
    """Return the SQL of the bucket of a time: the first day of it, or for an hour the time at which it
    begins.
    """
    within = case(
        (column < bindparam(None, _FIRST, column.type), bindparam(None, _FIRST, column.type)),
        (column > bindparam(None, _LAST, column.type), bindparam(None, _LAST, column.type)),
        else_=column,
    )
    given = (bindparam(None, unit.lower(), String()), within, bindparam(None, zone, String()))
    return (
        type_coerce(_Hour(*given), column.type)
        if unit is TimeUnit.HOUR
        else type_coerce(_Day(*given), Date())
    )


class _Bucket(FunctionElement[Any]):
    """The SQL of a bucket. It takes the unit's name, the time and the zone."""

    inherit_cache = True


class _Hour(_Bucket):
    inherit_cache = True


class _Day(_Bucket):
    inherit_cache = True


@compiles(_Hour, "postgresql")
def _hour_on_postgresql(element: _Hour, compiler: SQLCompiler, **options: Any) -> str:
    return f"date_trunc({compiler.process(element.clauses, **options)})"


@compiles(_Day, "postgresql")
def _day_on_postgresql(element: _Day, compiler: SQLCompiler, **options: Any) -> str:
    unit, column, zone = (compiler.process(one, **options) for one in element.clauses)
    return f"CAST(date_trunc({unit}, timezone({zone}, {column})) AS DATE)"


@compiles(_Hour, "sqlite")
@compiles(_Day, "sqlite")
def _on_sqlite(element: _Bucket, compiler: SQLCompiler, **options: Any) -> str:
    return f"{SQLITE_BUCKET}({compiler.process(element.clauses, **options)})"


def cut(unit: str, text: str | None, zone: str) -> str | None:
    """Return the bucket of a time, all as SQLite stores them."""
    if text is None:
        return None
    local = datetime.fromisoformat(text).replace(tzinfo=UTC).astimezone(ZoneInfo(zone))
    if unit == "hour":
        began = local.replace(tzinfo=None, minute=0, second=0, microsecond=0) - _offset(local)
        return began.isoformat(" ", "microseconds")
    return first_day(TimeUnit(unit.upper()), local.date()).isoformat()


def _offset(local: datetime) -> timedelta:
    offset = local.utcoffset()
    assert offset is not None
    return offset


def first_day(unit: TimeUnit, day: date) -> date:
    """Return the first day of the week, month or year in which a day lies."""
    if unit is TimeUnit.WEEK:
        return day - timedelta(days=day.weekday())
    if unit is TimeUnit.MONTH:
        return day.replace(day=1)
    return day.replace(month=1, day=1) if unit is TimeUnit.YEAR else day
