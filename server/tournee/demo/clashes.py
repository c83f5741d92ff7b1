"""Conflicts for the demo's inbox: the office and a phone without a signal change the same records."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from tournee.auth.organisations import actor_of
from tournee.auth.roles import Role
from tournee.catalogue import COMMANDS
from tournee.demo.making import Operation, at, id_of
from tournee.kernel.command import Kernel
from tournee.kernel.demo import demo_id
from tournee.kernel.head import head_seq
from tournee.sync.push.push import push
from tournee.sync.push.request import PushRequest
from tournee.work.models import Appointment

# Three of yesterday's visits, which are on the technician's phone: summary and site.
_VISITS = (("Demo pump hums", 3), ("Demo radiator stays cold", 4), ("Demo thermostat shows nothing", 5))
_DEVICE = demo_id("device/phone")
_ORGANISATION = demo_id("organisation/demo")


def operations(today: date) -> Iterator[Operation]:
    """Yield the visits as they were planned."""
    day = today - timedelta(days=1)
    for number, (summary, site) in enumerate(_VISITS, 1):
        order, visit = id_of(f"order/x{number}"), id_of(f"appointment/x{number}")
        yield "DISPATCHER", "createWorkOrder", {
            "id": order, "customerId": id_of(f"customer/{site}"), "siteId": id_of(f"site/{site}"),
            "summary": summary,
            "kind": "BREAKDOWN", "dueAt": at(day, 17 * 60),
        }  # fmt: skip
        begin = 6 * 60 + 150 * number
        yield "DISPATCHER", "createAppointment", {
            "id": visit, "workOrderId": order, "startsAt": at(day, begin), "endsAt": at(day, begin + 120),
        }  # fmt: skip
        whose = {"appointmentId": visit, "technicianId": id_of("technician/1")}
        yield "DISPATCHER", "assignTechnician", whose
        yield "DISPATCHER", "dispatchAppointment", {"appointmentId": visit}


async def play(kernel: Kernel, today: date) -> None:
    """Let the office change its plans, then let the phone push its day. A second call changes nothing."""
    async with kernel.database.reading(_ORGANISATION) as session:
        visit = await session.get_one(Appointment, (_ORGANISATION, demo_id("appointment/x1")))
        base = await head_seq(session)
    if visit.status == "CANCELED":
        return
    dispatcher = actor_of(_ORGANISATION, demo_id("account/dispatcher"), Role.DISPATCHER)
    for name, values in _at_the_desk():
        command = COMMANDS[name]
        await kernel.perform(dispatcher, command, command.parse(values))
    technician = actor_of(_ORGANISATION, demo_id("account/technician"), Role.TECHNICIAN)
    await push(kernel, COMMANDS, technician, PushRequest(_DEVICE, list(_on_the_phone(today, base)), "demo/1"))


def _at_the_desk() -> Iterator[tuple[str, dict[str, Any]]]:
    called_off = {"appointmentId": id_of("appointment/x1"), "reason": "Demo: the customer called it off."}
    yield "updateWorkOrder", {"workOrderId": id_of("order/x3"), "symptom": "Demo: the display is dark."}
    other = {"appointmentId": id_of("appointment/x2"), "technicianId": id_of("technician/2")}
    yield "reassignAppointment", other
    # The cancellation comes last: `play` reads from it that everything is done.
    yield "cancelAppointment", called_off


def _on_the_phone(today: date, base: int) -> Iterator[dict[str, Any]]:
    for number, (command, minutes, values) in enumerate(_day(), 1):
        moment = datetime.combine(today - timedelta(days=1), time(), UTC) + timedelta(minutes=minutes)
        said = moment.isoformat().replace("+00:00", "Z")
        yield {
            "id": _operation_id(moment, number),
            "number": number,
            "command": command,
            "input": values | ({"at": said} if "appointmentId" in values else {}),
            "base": base,
            "occurredAt": said,
        }


def _day() -> Iterator[tuple[str, int, dict[str, Any]]]:
    for number, begin in ((1, 500), (2, 650)):
        visit = {"appointmentId": id_of(f"appointment/x{number}")}
        yield "startTravel", begin, visit
        yield "arriveOnSite", begin + 20, visit
        yield "startWork", begin + 25, visit
        yield "completeAppointment", begin + 90, visit
    found = {"workOrderId": id_of("order/x3"), "symptom": "Demo: the battery is flat."}
    yield "updateWorkOrder", 800, found
    # Refused: the name must not be empty.
    yield "createAsset", 810, {"id": id_of("asset/x1"), "siteId": id_of("site/5"), "name": ""}


def _operation_id(moment: datetime, number: int) -> str:
    """Return a UUIDv7 that rises with the number."""
    milliseconds = int(moment.timestamp() * 1000)
    return str(UUID(int=milliseconds << 80 | 7 << 76 | number << 64 | 2 << 62 | number))
