"""Ten weeks of visits: three past weeks with their results, and seven planned ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from tournee.demo.making import (
    INSTALLATIONS,
    SMALL_INSTALLATIONS,
    TECHNICIANS,
    Operation,
    at,
    chance,
    customer_of,
    id_of,
    picked,
    site_of,
)
from tournee.demo.places import SORTS, first_value

# Visits on each working day, by week; the week of today is 0.
_A_DAY = {-3: 10, -2: 10, -1: 10, 0: 14, 1: 14, 2: 13, 3: 13, 4: 12, 5: 12, 6: 12}
# When a technician's first, second and third visit of a day begin, in minutes after midnight UTC.
_BEGINS = (7 * 60, 10 * 60, 13 * 60)
_MINUTES = 120
# Days from today: visits up to the first are dispatched; after the second, not all visits have a technician.
_DISPATCHED_DAYS, _ASSIGNED_DAYS = 3, 24
# On these days from today, the small demo has visits for the two technicians who can sign in.
_BUSY_DAYS = frozenset({-6, -5, 0, 1, 2})
_WORDS = (
    "does not start",
    "is too loud",
    "leaks",
    "yearly service",
    "inspection",
    "filter change",
    "shows an error",
)
_KINDS = {"yearly service": "MAINTENANCE", "filter change": "MAINTENANCE", "inspection": "INSPECTION"}
_REASONS = ("Demo: nobody opened.", "Demo: a part is missing.")
_STEPS = ("startTravel", "arriveOnSite", "startWork")
_MINUTES_OF = {"startTravel": -20, "arriveOnSite": 0, "startWork": 5}


@dataclass(frozen=True)
class Visit:
    """One visit of one technician at one installation."""

    number: int
    day: date
    days: int
    begin: int
    technician: int
    installation: int

    @property
    def id(self) -> str:
        return id_of(f"appointment/r{self.number}")

    @property
    def order(self) -> str:
        return id_of(f"order/r{self.number}")

    @property
    def is_assigned(self) -> bool:
        return self.days <= _ASSIGNED_DAYS or chance(60, self.number)

    @property
    def has_ended(self) -> bool:
        return self.days < 0

    @property
    def is_called_off(self) -> bool:
        return self.has_ended and chance(4, self.number, 1)

    @property
    def is_in_vain(self) -> bool:
        return self.has_ended and chance(4, self.number, 2)


def operations(today: date) -> Iterator[Operation]:
    """Yield the planning of all visits, then the work on past visits, day by day.

    Commands of one kind come together, because each change of kind makes the session write to the database
    before it reads.
    """
    visits = list(_visits(today))
    yield from map(_order, visits)
    yield from map(_appointment, visits)
    yield from (_assignment(visit) for visit in visits if visit.is_assigned)
    yield from (_handed_over(visit) for visit in visits if visit.days <= _DISPATCHED_DAYS)
    for visit in visits:
        if visit.has_ended:
            yield from (_called_off if visit.is_called_off else _carry_out)(visit)


def _visits(today: date) -> Iterator[Visit]:
    monday, number = today - timedelta(days=today.weekday()), 0
    for week, count in _A_DAY.items():
        for weekday in range(5):
            day = monday + timedelta(weeks=week, days=weekday)
            days = (day - today).days
            # Each day begins with another technician, so that all have the same amount of work.
            ring = [*TECHNICIANS[number % 12 :], *TECHNICIANS[: number % 12]]
            crew = [one for one in ring if one > 2 or days not in _BUSY_DAYS]
            free = [(one, begin) for begin in _BEGINS for one in crew]
            for technician, begin in free[:count]:
                number += 1
                installation = (
                    SMALL_INSTALLATIONS + 1 + number * 7 % (len(INSTALLATIONS) - SMALL_INSTALLATIONS)
                )
                yield Visit(number, day, days, begin, technician, installation)


def _order(visit: Visit) -> Operation:
    site, words = site_of(visit.installation), picked(_WORDS, visit.number)
    return "DISPATCHER", "createWorkOrder", {
        "id": visit.order, "customerId": id_of(f"customer/{customer_of(site)}"),
        "siteId": id_of(f"site/{site}"), "assetId": id_of(f"asset/{visit.installation}"),
        "summary": f"Demo {SORTS[visit.installation % len(SORTS)][0].lower()} {words}",
        "kind": _KINDS.get(words, "BREAKDOWN"),
        "priority": picked(("LOW", "NORMAL", "NORMAL", "HIGH"), visit.number),
        "dueAt": at(visit.day + timedelta(days=3), 17 * 60),
    }  # fmt: skip


def _appointment(visit: Visit) -> Operation:
    return "DISPATCHER", "createAppointment", {
        "id": visit.id, "workOrderId": visit.order, "startsAt": at(visit.day, visit.begin),
        "endsAt": at(visit.day, visit.begin + _MINUTES), "durationMinutes": _MINUTES,
        "arrivalWindowStart": at(visit.day, visit.begin - 30),
        "arrivalWindowEnd": at(visit.day, visit.begin + 30),
    }  # fmt: skip


def _assignment(visit: Visit) -> Operation:
    technician = id_of(f"technician/{visit.technician}")
    return "DISPATCHER", "assignTechnician", {"appointmentId": visit.id, "technicianId": technician}


def _handed_over(visit: Visit) -> Operation:
    return "DISPATCHER", "dispatchAppointment", {"appointmentId": visit.id}


def _called_off(visit: Visit) -> Iterator[Operation]:
    reason = {"appointmentId": visit.id, "reason": "Demo: closed today."}
    yield "DISPATCHER", "cancelAppointment", reason


def _carry_out(visit: Visit) -> Iterator[Operation]:
    """Yield the work of a visit, reported by the office, because most demo technicians have no account."""
    late = picked((-10, -5, 0, 5, 25), visit.number)
    begin = visit.begin + late
    # Not every technician reports when they set out and arrived.
    steps = _STEPS if chance(50, visit.number, 8) else _STEPS[2:]
    for name in steps:
        moment = at(visit.day, begin + _MINUTES_OF[name])
        yield "DISPATCHER", name, {"appointmentId": visit.id, "at": moment}
    end = begin + picked((40, 65, 90, 110), visit.number)
    over = {"appointmentId": visit.id, "at": at(visit.day, end)}
    if visit.is_in_vain:
        reason = picked(_REASONS, visit.number)
        yield "DISPATCHER", "cannotCompleteAppointment", {**over, "reason": reason}
        return
    if chance(45, visit.number, 3):
        yield from _checklist(visit, begin + 10)
    if chance(60, visit.number, 4):
        yield _reading(visit, end)
    if chance(25, visit.number, 5):
        yield _part(visit, end)
    yield "DISPATCHER", "completeAppointment", over
    if chance(20, visit.number, 6):
        text = picked(
            ("Demo: wants an offer for a new one.", "Demo: runs again.", "Demo: come back in spring."),
            visit.number,
        )
        note = {"id": id_of(f"note/r{visit.number}"), "appointmentId": visit.id, "text": text}
        yield "DISPATCHER", "addNote", {**note, "at": over["at"]}
    if chance(40, visit.number, 7):
        yield "DISPATCHER", "closeWorkOrder", {"workOrderId": visit.order}


def _checklist(visit: Visit, minutes: int) -> Iterator[Operation]:
    run = {"runId": id_of(f"run/r{visit.number}"), "at": at(visit.day, minutes)}
    new = {"id": run["runId"], "versionId": id_of("version/inspection/1"), "appointmentId": visit.id}
    yield "DISPATCHER", "addChecklistRun", new
    pressure = picked((2.5, 3.1, 4.2, 5.6, 7.4), visit.number)
    for answer in (
        {"itemKey": "powered", "checked": True},
        {"itemKey": "pressure", "number": pressure},
        {"itemKey": "cleanliness", "choices": [picked(("Clean", "Dusty", "Dirty"), visit.number)]},
    ):
        yield "MANAGER", "answerChecklistItem", {**run, **answer}
    yield "MANAGER", "completeChecklistRun", {**run, "at": at(visit.day, minutes + 20)}


def _reading(visit: Visit, minutes: int) -> Operation:
    step = SORTS[visit.installation % len(SORTS)][3]
    # No two past visits are at the same installation, so a meter has only one of these readings.
    value = round(first_value(visit.installation) + step * (30 + visit.days) / 30, 1)
    return "DISPATCHER", "recordReading", {
        "id": id_of(f"reading/r{visit.number}"), "meterId": id_of(f"meter/{visit.installation}"),
        "value": value,
        "takenAt": at(visit.day, minutes - 5), "appointmentId": visit.id,
    }  # fmt: skip


def _part(visit: Visit, minutes: int) -> Operation:
    part, quantity = picked(((6, 500), (9, 1000), (7, 250), (8, 500)), visit.number)
    return "DISPATCHER", "usePart", {
        "id": id_of(f"movement/r{visit.number}"), "partId": id_of(f"part/{part}"),
        "fromLocationId": id_of("stock/warehouse"), "appointmentId": visit.id, "quantity": quantity,
        "at": at(visit.day, minutes - 10),
    }  # fmt: skip
