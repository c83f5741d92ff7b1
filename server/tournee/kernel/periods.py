"""Periods: scopes of a part of time, by which what is over leaves a device.

Some records belong to a person or a van and have nothing that ends, such as a time entry. Such a record lies
in the scopes of the periods that it touches, which follow from its owner and its own dates. A person holds
the periods that the window of their device touches. So moving the window moves a few memberships and no edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

if TYPE_CHECKING:
    from tournee.kernel.entity import Entity

_PERIODS = UUID("3f0a3c5e-5b0e-5d57-8f0c-6f1c0e8f5a21")
# A record that touches more periods lies in its owner's own scope, and never leaves.
MOST_TOUCHED = 5
# A window of any length gives a person no more periods than these, from its beginning on.
MOST_CARRIED = 520


@dataclass(frozen=True)
class Period:
    """A division of time into parts of so many weeks, which begin on a Monday in UTC."""

    weeks: int

    def scope(self, owner: UUID, number: int) -> UUID:
        return uuid5(_PERIODS, f"{owner.hex}/{self.weeks}/{number}")

    def number(self, at: datetime) -> int:
        # The first day of the calendar was a Monday.
        day = at.astimezone(UTC).date() if at.tzinfo is not None else at.date()
        return (day.toordinal() - 1) // 7 // self.weeks

    def touched(self, owner: UUID, first: datetime, last: datetime) -> list[UUID]:
        """Return the scopes of a record with these dates."""
        numbers = range(self.number(first), self.number(last) + 1)
        if len(numbers) > MOST_TOUCHED:
            return [owner]
        return [self.scope(owner, number) for number in numbers]

    def carried(
        self, owner: UUID, first: datetime | None, last: datetime | None, *, ahead: int = 0
    ) -> list[UUID]:
        """Return the scopes that a person with this window holds, and those of so many periods after it."""
        if first is None or last is None:
            return []
        begin = self.number(first)
        end = min(self.number(last) + ahead, begin + MOST_CARRIED - 1)
        return [self.scope(owner, number) for number in range(begin, end + 1)]


WEEK = Period(1)
# About a year, for what people plan long ahead.
YEAR = Period(52)


@dataclass(frozen=True)
class Span:
    """The dates by which a record counts for the people who hold its owner; without an owner, for nobody."""

    owner: UUID | None
    first: datetime
    last: datetime
    period: Period = WEEK

    @staticmethod
    def at(owner: UUID | None, moment: datetime) -> Span:
        return Span(owner, moment, moment)

    def scopes(self) -> list[UUID]:
        return [] if self.owner is None else self.period.touched(self.owner, self.first, self.last)


def in_periods(row: Entity) -> list[UUID]:
    """Return the scopes that a row lies in by its dates."""
    return [scope for span in row.spans() for scope in span.scopes()]
