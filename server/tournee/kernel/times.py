"""How times and dates are written outside (RFC 3339 and nothing else), and which times cannot be right."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from enum import Enum

# Seconds may be left out: Java does that for full minutes, and devices have such times in their outboxes.
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,12})?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

# A wrong time zone puts a clock off by up to 14 hours, which its owner soon sees; a day is another fault.
AHEAD = timedelta(days=1)
# Devices may be away for a season, so a year is believed; the year itself is what a reset clock gets wrong.
BEHIND = timedelta(days=366)


class TimeSource(Enum):
    """Where the times of a column come from."""

    # What happened in the field: the clock of the device may be wrong.
    DEVICE = "DEVICE"
    # The server's own clock.
    SERVER = "SERVER"
    # A person chose it for a plan or an agreement: it is no statement about what happened.
    PLAN = "PLAN"
    # Derived from the plausible ones among other times.
    DERIVED = "DERIVED"


def is_implausible(at: datetime, received_at: datetime, *, may_be_old: bool = False) -> bool:
    """Return whether a time cannot have been right when the server received it."""
    return at > received_at + AHEAD or (not may_be_old and at < received_at - BEHIND)


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
