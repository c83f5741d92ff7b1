"""Which texts are accepted as times and dates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from graphql import GraphQLError

from tournee.api import scalars
from tournee.kernel.errors import Invalid
from tournee.kernel.inputs import parse
from tournee.kernel.times import AHEAD, BEHIND, is_implausible, read_date, read_time

NOON = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)

TIMES = {
    "2026-11-28T12:00:00Z": NOON,
    "2026-11-28t12:00:00z": NOON,
    "2026-11-28 12:00:00+00:00": NOON,
    "2026-11-28T13:30:00+01:30": NOON,
    "2026-11-28T12:00:00-00:00": NOON,
    "2026-11-28T12:00:00.5Z": NOON + timedelta(milliseconds=500),
    "2026-11-28T12:00:00.123456Z": NOON + timedelta(microseconds=123456),
    "2026-11-28T12:00:00.123456789Z": NOON + timedelta(microseconds=123456),
    # Java's OffsetDateTime writes a full minute this way.
    "2026-11-28T12:00Z": NOON,
}
NO_TIMES: list[Any] = [
    "2026-W48-6T00:00:00Z", "2026-W48-6", "20261128T120000Z", "2026-11-28T12Z", "2026-11-28T120000Z", "12",
    "1e3", "1764331200", 1764331200, 12.5, None, True, "", "2026-11-28", "2026-11-28T12:00:00",
    "2026-11-28T12:00:00+0100", "2026-11-28T12:00:00+01", "2026-11-28T12:00:00+01:00:30",
    "2026-11-28T24:00:00Z", "2026-11-28T12:60:00Z", "2026-02-29T12:00:00Z", "2026-11-28T12:00:00,5Z",
    "2026-11-28T12:00:00.Z", " 2026-11-28T12:00:00Z", "2026-11-28T12:00:00Z\n", "\uff12026-11-28T12:00:00Z",
    "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "2026-11-28T12:00:00+24:00",
    "26-11-28T12:00:00Z", "now", ["2026-11-28T12:00:00Z"],
]  # fmt: skip
NO_DAYS: list[Any] = [
    "2026-W48-6", "20261128", "2026-11-28T00:00:00Z", "2026-11-28T00:00:00", "12", 12, "2026-02-29",
    "2026-1-1", "", None,
]  # fmt: skip


@dataclass(frozen=True)
class Visit:
    at: datetime


@dataclass(frozen=True)
class Leave:
    on: date


@pytest.mark.parametrize("text", TIMES)
def test_a_time_is_read_as_rfc_3339(text: str) -> None:
    assert read_time(text) == TIMES[text]
    assert read_time(text).tzinfo is UTC
    assert parse(Visit, {"at": text}) == Visit(TIMES[text])
    assert scalars._parse_time(text) == TIMES[text]


@pytest.mark.parametrize("value", NO_TIMES, ids=repr)
def test_any_other_text_is_refused_as_a_time(value: Any) -> None:
    with pytest.raises(Invalid, match=r"at: .*RFC 3339") as refused:
        parse(Visit, {"at": value})
    assert (refused.value.code, refused.value.field) == ("INVALID", "at")
    with pytest.raises(GraphQLError, match="RFC 3339"):
        scalars._parse_time(value)


@pytest.mark.parametrize("value", NO_DAYS, ids=repr)
def test_a_date_is_read_as_year_month_and_day(value: Any) -> None:
    assert read_date("2026-11-28") == date(2026, 11, 28)
    assert parse(Leave, {"on": "2026-11-28"}) == Leave(date(2026, 11, 28))
    with pytest.raises(Invalid, match="on: ") as refused:
        parse(Leave, {"on": value})
    assert (refused.value.code, refused.value.field) == ("INVALID", "on")
    with pytest.raises(GraphQLError, match="day"):
        scalars._parse_date(value)


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("off", "implausible", "of_the_past"),
    [
        (AHEAD, False, False),
        (AHEAD + SECOND, True, True),
        (-BEHIND, False, False),
        (-BEHIND - SECOND, True, False),
    ],
)
def test_a_time_is_implausible_only_beyond_its_bounds(
    off: timedelta, implausible: bool, of_the_past: bool
) -> None:
    assert is_implausible(NOON + off, NOON) is implausible
    assert is_implausible(NOON + off, NOON, may_be_old=True) is of_the_past
