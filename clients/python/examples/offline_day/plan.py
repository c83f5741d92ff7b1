"""Plan two new visits for today, one of them with a checklist."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from examples.offline_day.office import Office, Refused, Row
from tournee_client import new_id
from tournee_client.wire import instant


@dataclass(frozen=True)
class Plan:
    """The ids of what was planned, and the meter's last reading."""

    technician_id: str
    colleague_id: str
    site_id: str
    customer_id: str
    meter_id: str
    last_reading: float
    visit: str
    other_visit: str
    checklist: str


async def make_plan(dispatcher: Office, technician: Office, colleague: Office, begin: datetime) -> Plan:
    """Plan both visits and dispatch the technician to them."""
    technician_id = await _technician(dispatcher, technician)
    meter = await _meter(dispatcher)
    visits = [
        await _visit(dispatcher, meter, technician_id, summary, begin + timedelta(hours=hours))
        for summary, hours in (("Demo: yearly service", 0), ("Demo: check the neighbour's unit", 2))
    ]
    return Plan(
        technician_id=technician_id,
        colleague_id=await _technician(dispatcher, colleague),
        site_id=meter["siteId"],
        customer_id=meter["customerId"],
        meter_id=meter["id"],
        last_reading=await _last_reading(dispatcher, meter["id"]),
        visit=visits[0],
        other_visit=visits[1],
        checklist=await _checklist(dispatcher, visits[0]),
    )


async def _technician(dispatcher: Office, person: Office) -> str:
    whose = {"accountId": {"eq": person.account_id}}
    return str(_one(await dispatcher.rows("technicians", "id", of="Technician", filter=whose))["id"])


async def _meter(dispatcher: Office) -> Row:
    wanted = {"siteId": {"isNull": False}, "customerId": {"isNull": False}, "kind": {"eq": "COUNTER"}}
    columns = "id siteId customerId assetId"
    return _one(await dispatcher.rows("meters", columns, of="Meter", filter=wanted, first=1))


async def _last_reading(dispatcher: Office, meter_id: str) -> float:
    found = await dispatcher.rows(
        "readings",
        "value",
        of="Reading",
        filter={"meterId": {"eq": meter_id}},
        orderBy=[{"takenAt": "DESC"}],
        first=1,
    )
    return float(found[0]["value"]) if found else 0.0


async def _visit(dispatcher: Office, meter: Row, technician_id: str, summary: str, at: datetime) -> str:
    place = {name: meter[name] for name in ("customerId", "siteId", "assetId")}
    order = await dispatcher.do("createWorkOrder", id=new_id(), summary=summary, kind="MAINTENANCE", **place)
    times = {"startsAt": instant(at), "endsAt": instant(at + timedelta(hours=2))}
    visit = await dispatcher.do("createAppointment", id=new_id(), workOrderId=order, **times)
    await dispatcher.do("assignTechnician", appointmentId=visit, technicianId=technician_id)
    await dispatcher.do("dispatchAppointment", appointmentId=visit)
    return visit


async def _checklist(dispatcher: Office, visit: str) -> str:
    wanted = {"key": {"eq": "inspection"}}
    template = _one(await dispatcher.rows("checklistTemplates", "id", of="ChecklistTemplate", filter=wanted))
    return await dispatcher.do(
        "addChecklistRun", id=new_id(), templateId=template["id"], appointmentId=visit, required=True
    )


def _one(rows: list[Any]) -> Row:
    if not rows:
        raise Refused("this server does not have the demo organisation's data")
    found: Row = rows[0]
    return found
