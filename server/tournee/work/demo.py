"""Made-up work: visits of today and tomorrow, and some that ended last week."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from tournee.kernel.demo import demo_id

Operation = tuple[str, str, dict[str, Any]]

# Order n is at site n, of customer 1 + (n - 1) % 6, on asset n.
_ORDERS: tuple[tuple[str, str, str, str | None], ...] = (
    ("Demo cold room does not cool", "BREAKDOWN", "URGENT", "cooling"),
    ("Demo yearly boiler service", "MAINTENANCE", "NORMAL", "water"),
    ("Demo distribution board trips", "BREAKDOWN", "HIGH", "electrical"),
    ("Demo pump replacement", "INSTALLATION", "NORMAL", "water"),
    ("Demo gas heater inspection", "INSPECTION", "NORMAL", "gas"),
    ("Demo controls make no contact", "BREAKDOWN", "HIGH", "controls"),
    ("Demo leaking valve", "BREAKDOWN", "NORMAL", "water"),
    ("Demo emergency lighting test", "INSPECTION", "LOW", None),
)
# Days from today, start in hours (UTC), length in hours, technician, dispatched.
_VISITS: tuple[tuple[int, int, int, int | None, bool], ...] = (
    (0, 7, 2, 1, True),
    (0, 10, 2, 1, True),
    (0, 14, 3, 1, True),
    (1, 8, 4, 1, False),
    (0, 9, 2, 2, True),
    (2, 8, 2, None, False),
    (-6, 8, 2, 1, True),
    (-5, 13, 2, 2, True),
)
# The finished visits: when each leaves, arrives, starts and ends, in minutes after the planned start.
_FINISHED = {7: (-25, -5, 0, 95), 8: (-40, 5, 10, 85)}


def operations(today: date) -> list[Operation]:
    """Eight orders with a visit each, and the steps of the two that are over."""
    return [
        *(_order(number, today) for number in range(1, 9)),
        *(operation for number in range(1, 9) for operation in _visit(number, today)),
        *(operation for number in _FINISHED for operation in _steps(number, today)),
        ("DISPATCHER", "closeWorkOrder", {"workOrderId": _id("order/8")}),
        *_notes(today),
        _time(today),
    ]


def _order(number: int, today: date) -> Operation:
    summary, kind, priority, skill = _ORDERS[number - 1]
    order = {
        "id": _id(f"order/{number}"),
        "customerId": _id(f"customer/{1 + (number - 1) % 6}"),
        "siteId": _id(f"site/{number}"),
        "assetId": _id(f"asset/{number}"),
        "summary": summary,
        "kind": kind,
        "priority": priority,
        "dueAt": _at(today + timedelta(days=7), 17 * 60),
        "requiredSkillIds": [_id(f"skill/{skill}")] if skill else [],
    }
    return "DISPATCHER", "createWorkOrder", order


def _visit(number: int, today: date) -> Iterator[Operation]:
    days, hour, length, technician, dispatched = _VISITS[number - 1]
    day, id = today + timedelta(days=days), _id(f"appointment/{number}")
    visit = {
        "id": id,
        "workOrderId": _id(f"order/{number}"),
        "instructions": "Demo: report at the desk first.",
        "startsAt": _at(day, hour * 60),
        "endsAt": _at(day, (hour + length) * 60),
        "arrivalWindowStart": _at(day, hour * 60 - 30),
        "arrivalWindowEnd": _at(day, hour * 60 + 30),
        "durationMinutes": length * 60,
    }
    yield "DISPATCHER", "createAppointment", visit
    if technician is not None:
        sent = {"appointmentId": id, "technicianId": _id(f"technician/{technician}")}
        yield "DISPATCHER", "assignTechnician", sent
    if dispatched:
        yield "DISPATCHER", "dispatchAppointment", {"appointmentId": id}


def _steps(number: int, today: date) -> Iterator[Operation]:
    """Reported by the office for the technician, as it happens when a phone stays at home."""
    days, hour, *_ = _VISITS[number - 1]
    names = ("startTravel", "arriveOnSite", "startWork", "completeAppointment")
    for name, minutes in zip(names, _FINISHED[number], strict=True):
        at = _at(today + timedelta(days=days), hour * 60 + minutes)
        yield "DISPATCHER", name, {"appointmentId": _id(f"appointment/{number}"), "at": at}


def _notes(today: date) -> Iterator[Operation]:
    at = _at(today, 6 * 60)
    yield (
        "DISPATCHER",
        "addNote",
        {
            "id": _id("note/1"),
            "appointmentId": _id("appointment/1"),
            "text": "Demo: gate code 0000.",
            "at": at,
        },
    )
    yield (
        "DISPATCHER",
        "addNote",
        {
            "id": _id("note/2"),
            "workOrderId": _id("order/1"),
            "text": "Demo: third call this year; offer a contract.",
            "internal": True,
            "at": at,
        },
    )


def _time(today: date) -> Operation:
    day = today + timedelta(days=-6)
    entry = {
        "id": _id("time/1"),
        "technicianId": _id("technician/1"),
        "appointmentId": _id("appointment/7"),
        "kind": "WORK",
        "startsAt": _at(day, 8 * 60),
        "endsAt": _at(day, 9 * 60 + 35),
    }
    return "DISPATCHER", "recordTimeEntry", entry


def _at(day: date, minutes: int) -> str:
    moment = datetime.combine(day, time(), UTC) + timedelta(minutes=minutes)
    return moment.isoformat().replace("+00:00", "Z")


def _id(name: str) -> str:
    return str(demo_id(name))
