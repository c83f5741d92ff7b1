"""How much years of use leave, and how much of it is asked for."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from uuid import UUID

import structlog

from tests.bench.years.work import VISITS
from tournee.people.models import WINDOW_BEHIND

# Days ahead for which visits are planned.
PLANNED_DAYS = 14


def years_asked(default: float = 0.5) -> float:
    """Return how many years are to be filled."""
    return float(os.environ.get("YEARS") or default)


def quiet() -> None:
    """Log no commands: only figures are printed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


@dataclass(frozen=True)
class Sizes:
    """How much there is. In five years 100,000 times three orders with five visits were finished."""

    days: int
    customers: int
    finished: int
    technicians: int = 200
    planned: int = 135
    """Visits of each technician in the coming two weeks."""

    @staticmethod
    def of(years: float) -> Sizes:
        return Sizes(round(365 * years), round(4_000 * years), round(20_000 * years))

    @property
    def finished_visits(self) -> int:
        return self.finished * sum(VISITS)

    def back(self, n: int) -> int:
        """Return how many days before yesterday the n-th work was done."""
        return (self.finished - 1 - n) * self.days // self.finished

    def is_carried(self, n: int) -> bool:
        """Return whether the technician's device still carries the n-th work, done `back` days before
        yesterday.
        """
        return self.back(n) < WINDOW_BEHIND.days


@dataclass(frozen=True)
class Planned:
    """A visit to come, and the number of its technician."""

    id: UUID
    technician: int
