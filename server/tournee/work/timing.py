"""How long a visit took, from the times of its events, in whatever order they arrived."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

from tournee.kernel.times import AHEAD, is_implausible
from tournee.work.states import FINISHED, AppointmentStatus

# A step that nothing follows for longer than this did not really last that long.
LONGEST = timedelta(days=7)

_THERE = frozenset({AppointmentStatus.ON_SITE, AppointmentStatus.IN_PROGRESS})


@dataclass(frozen=True)
class Moment:
    """What timing needs to know of an event. `technician_id` is null for the office's steps."""

    id: UUID
    technician_id: UUID | None
    device_id: UUID | None
    to: AppointmentStatus
    at: datetime
    suspect: bool = False
    fact: bool = False
    came_from: AppointmentStatus | None = None


@dataclass(frozen=True)
class Times:
    """What follows from the events of a visit."""

    arrived_at: datetime | None
    actual_start: datetime | None
    actual_end: datetime | None
    travel_minutes: int
    work_minutes: int
    break_minutes: int


def local_day(at: datetime, time_zone: str | None) -> date:
    """Return the date at that time in this time zone, in UTC if none is known."""
    try:
        return at.astimezone(ZoneInfo(time_zone or "UTC")).date()
    except OverflowError:
        return at.date()


def is_suspect(at: datetime, received_at: datetime, earlier: Iterable[datetime]) -> bool:
    """Return whether the clock that gave `at` cannot have been right; `earlier` came before, from the
    same device.
    """
    return is_implausible(at, received_at) or any(at < before <= received_at + AHEAD for before in earlier)


def times(moments: Iterable[Moment], *, over: bool) -> Times:
    """Derive the times of a visit: a step lasts until the same technician's next one, and the minutes of all
    technicians add up. A visit that is not `over` has no end.

    Between a step with a suspect clock and one without, no time is counted.
    """
    of_technicians: dict[UUID, list[Moment]] = defaultdict(list)
    for moment in moments:
        if moment.technician_id is not None:
            of_technicians[moment.technician_id].append(moment)
    spent: dict[AppointmentStatus, timedelta] = defaultdict(timedelta)
    for steps in of_technicians.values():
        for step, following in pairwise(sorted(steps, key=lambda moment: (moment.at, moment.id))):
            lasted = following.at - step.at
            if step.suspect == following.suspect and lasted <= LONGEST:
                spent[step.to] += lasted
    sound = [step for steps in of_technicians.values() for step in steps if not step.suspect]
    started = _first(sound, {AppointmentStatus.IN_PROGRESS})
    ended = max((step.at for step in sound if step.to in FINISHED), default=None) if over else None
    return Times(
        arrived_at=_first(sound, _THERE),
        actual_start=started,
        actual_end=ended if ended is None or started is None or ended >= started else None,
        travel_minutes=_minutes(spent[AppointmentStatus.EN_ROUTE]),
        work_minutes=_minutes(spent[AppointmentStatus.IN_PROGRESS]),
        break_minutes=_minutes(spent[AppointmentStatus.PAUSED]),
    )


def _first(steps: Iterable[Moment], statuses: Collection[AppointmentStatus]) -> datetime | None:
    return min((step.at for step in steps if step.to in statuses), default=None)


def _minutes(lasted: timedelta) -> int:
    return round(lasted / timedelta(minutes=1))
