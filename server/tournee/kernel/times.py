"""How a moment and a day are written outside: RFC 3339, and nothing else that a library would guess."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, date, datetime

# Seconds may be left out: Java writes a full minute so, and devices have it in their outboxes.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,12})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def read_time(text: object) -> datetime:
    """Return the moment in UTC; raises ValueError for anything but RFC 3339 with an offset."""
    if isinstance(text, str) and _TIME.fullmatch(text):
        # The right form may still be the 30th of February, or lie outside the years 1 to 9999.
        with suppress(ValueError, OverflowError):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    raise ValueError("should be a time in RFC 3339 with an offset, such as 2026-11-23T09:12:00Z")


def read_date(text: object) -> date:
    """Return the day; raises ValueError for anything but year, month and day."""
    if isinstance(text, str) and _DATE.fullmatch(text):
        with suppress(ValueError):
            return date.fromisoformat(text)
    raise ValueError("should be a day such as 2026-11-23")
