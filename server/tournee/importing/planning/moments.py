"""Reads dates and times. A local time that occurred twice, or never, is refused instead of guessed."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from tournee.importing.mapping.columns import Column
from tournee.importing.planning.plain_words import BadCell

# Python also reads weeks and days of the year, and would accept "12" or a part number as one.
_CALENDAR = re.compile(r"\d{4}-?\d\d-?\d\d([T ].+)?")


def date_of(column: Column, text: str) -> date:
    return _moment(column, text, "is not a date").date()


def time_of(column: Column, text: str) -> datetime:
    return in_utc(column, _moment(column, text, "is not a time"))


def _moment(column: Column, text: str, otherwise: str) -> datetime:
    for form in column.formats:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - the zone is the mapping's to say
        except ValueError:
            continue
    if not column.formats and _CALENDAR.fullmatch(text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    raise BadCell(otherwise)


def in_utc(column: Column, moment: datetime) -> datetime:
    """Return the instant; if that local time is ambiguous, the mapping must say which one is meant."""
    try:
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
        if column.zone is None:
            raise BadCell("is a time without a zone, and the mapping names none")
        zone = ZoneInfo(column.zone)
        earlier, later = sorted(moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    except OverflowError:
        raise BadCell("lies outside the years 1 to 9999") from None
    if earlier == later or column.fold is not None:
        return later if column.fold == "later" else earlier
    if earlier.astimezone(zone).replace(tzinfo=None) == moment:
        raise BadCell(
            f"occurred twice in {zone}, as clocks were put back; the mapping's `fold` can say which"
        )
    raise BadCell(f"never occurred in {zone}, as clocks were put forward; the mapping's `fold` can say which")
