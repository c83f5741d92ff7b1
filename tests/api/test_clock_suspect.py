"""Implausible times are stored as sent and flagged wherever people read them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from tests.support.ask import ask, statements
from tests.support.device import TestDevice
from tests.support.field import checklist
from tests.support.house import House
from tests.support.world import World
from tournee.catalogue import ENTITIES
from tournee.kernel.conflict import Conflict
from tournee.kernel.entity import Entity, now
from tournee.kernel.fields import fields
from tournee.kernel.log import Change
from tournee.kernel.times import AHEAD, BEHIND, TimeSource
from tournee.procedures.models import ChecklistAnswer
from tournee.quality.models import AuditFinding
from tournee.stock.models import StockLevel

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

HOUR = timedelta(hours=1)
ITEMS = [{"key": "on", "prompt": "Is it on?", "kind": "CHECK", "required": True}]


class Stage:
    """An organisation with the records that field work needs, and a device that may do all of it offline."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.sound = now() - HOUR
        self.device = TestDevice(house, "MANAGER")

    async def set_up(self) -> Stage:
        self.world = await World(self.house).settle()
        self.customer, self.site = self.world.customer.id, self.world.site.id
        self.technician = await self.world.technician()
        self.order = await self.world.order()
        asset = await self.house.run("createAsset", name="Demo boiler", siteId=self.site)
        self.meter = await self.house.run("createMeter", assetId=asset.id, name="Use", unit="h")
        self.place = await self.house.run("createStockLocation", name="Demo warehouse", kind="WAREHOUSE")
        _, self.version = await checklist(self.house, ITEMS)
        self.auditor = TestDevice(self.house, actor=await self.house.account("AUDITOR"))
        return self

    async def do(self, command: str, **input: Any) -> UUID:
        """Push a command from the device and check that it is applied."""
        device = self.auditor if "udit" in command else self.device
        outcome = await device.do(command, **input)
        assert (outcome.status, outcome.code) == ("applied", None)
        assert outcome.record_id is not None
        return outcome.record_id

    async def part(self) -> UUID:
        number = f"DEMO-{self.device.number}"
        id: UUID = (await self.house.run("createPart", number=number, name="Demo relay")).id
        return id

    async def run(self) -> UUID:
        run = await self.house.run("addChecklistRun", versionId=self.version, siteId=self.site)
        id: UUID = run.id
        return id

    async def audit(self, *steps: str) -> UUID:
        """Plan an audit and take these steps at a sound time."""
        given = {"siteId": self.site, "versionId": self.version, "leadAuditorId": self.auditor.actor.id}
        audit = await self.house.run("createAudit", "AUDITOR", title="Demo", **given)
        await self.house.run("planAudit", "AUDITOR", auditId=audit.id, plannedFrom=self.sound)
        for step in steps:
            answer = {"itemKey": "on", "checked": True} if step == "answerAuditItem" else {}
            await self.do(step, auditId=audit.id, at=self.sound, **answer)
        id: UUID = audit.id
        return id

    async def finding(self, at: datetime | None = None) -> UUID:
        audit = await self.audit("startAudit")
        given = {"grade": "MINOR", "description": "Demo dust", "correction": "Swept"}
        return await self.do("addAuditFinding", auditId=audit, at=at or self.sound, **given)


_ANSWERED = ("startAudit", "answerAuditItem")
_REPORTED = (*_ANSWERED, "reportAudit")


async def _audit_closed(stage: Stage, at: datetime) -> UUID:
    audit = await stage.audit(*_REPORTED, "completeAudit")
    await stage.house.run("closeAudit", "AUDITOR", auditId=audit, at=at)
    return audit


async def _finding_closed(stage: Stage, at: datetime) -> UUID:
    finding = await stage.finding()
    await stage.do("correctAuditFinding", findingId=finding, at=stage.sound)
    return await stage.do("closeAuditFinding", findingId=finding, at=at)


async def _run_completed(stage: Stage, at: datetime) -> UUID:
    run = await stage.run()
    await stage.do("answerChecklistItem", runId=run, itemKey="on", checked=True, at=stage.sound)
    return await stage.do("completeChecklistRun", runId=run, at=at)


async def _level(stage: Stage, at: datetime) -> UUID:
    part = await stage.part()
    await stage.do("countStock", partId=part, locationId=stage.place.id, counted=0, at=at)
    [level] = await stage.house.rows(StockLevel, StockLevel.part_id == part)
    id: UUID = level.id
    return id


async def _step(stage: Stage, at: datetime) -> UUID:
    visit = await stage.world.visit(stage.technician)
    await stage.house.run("startTravel", stage.technician.actor, appointmentId=visit.id, at=at)
    id: UUID = (await stage.world.events(visit))[-1].id
    return id


async def _conflict(stage: Stage, at: datetime) -> UUID:
    site = await stage.house.run("createSite", customerId=stage.customer, name="Demo", accessNotes="Ring")
    device = TestDevice(stage.house, "MANAGER")
    await device.pull()
    await stage.house.run("updateSite", "DISPATCHER", siteId=site.id, accessNotes="Knock")
    late = device.operation("updateSite", siteId=site.id, accessNotes="Call")
    await device.push(late | {"occurredAt": at.isoformat()})
    [conflict] = await stage.house.rows(Conflict, Conflict.record_id == site.id)
    id: UUID = conflict.id
    return id


Case = Callable[[Stage, datetime], Awaitable[UUID]]
CASES: dict[str, Case] = {
    "AppointmentEvent.occurred_at": _step,
    "Audit.performed_at": lambda s, at: _then(s, s.audit(), "startAudit", "auditId", at=at),
    "Audit.reported_at": lambda s, at: _then(s, s.audit(*_ANSWERED), "reportAudit", "auditId", at=at),
    "Audit.completed_at": lambda s, at: _then(s, s.audit(*_REPORTED), "completeAudit", "auditId", at=at),
    "Audit.closed_at": _audit_closed,
    "AuditAnswer.answered_at": lambda s, at: _then(
        s, s.audit("startAudit"), "answerAuditItem", "auditId", itemKey="on", checked=True, at=at
    ),
    "AuditFinding.found_at": lambda s, at: s.finding(at),
    "AuditFinding.corrected_at": lambda s, at: _then(
        s, s.finding(), "correctAuditFinding", "findingId", at=at
    ),
    "AuditFinding.closed_at": _finding_closed,
    "ChecklistAnswer.answered_at": lambda s, at: _then(
        s, s.run(), "answerChecklistItem", "runId", itemKey="on", checked=True, at=at
    ),
    "ChecklistRun.started_at": lambda s, at: _then(s, s.run(), "startChecklistRun", "runId", at=at),
    "ChecklistRun.completed_at": _run_completed,
    "Conflict.occurred_at": _conflict,
    "Interaction.occurred_at": lambda s, at: s.do(
        "recordInteraction",
        customerId=s.customer,
        channel="PHONE",
        direction="INBOUND",
        subject="Demo",
        at=at,
    ),
    "Note.occurred_at": lambda s, at: s.do("addNote", workOrderId=s.order.id, text="Gas leak", at=at),
    "Reading.taken_at": lambda s, at: s.do("recordReading", meterId=s.meter.id, value=1, takenAt=at),
    "StockCount.occurred_at": lambda s, at: _then(
        s, s.part(), "countStock", "partId", locationId=s.place.id, counted=0, at=at
    ),
    "StockLevel.counted_at": _level,
    "StockMovement.occurred_at": lambda s, at: _then(
        s, s.part(), "receiveStock", "partId", toLocationId=s.place.id, quantity=1000, at=at
    ),
    "TimeEntry.starts_at": lambda s, at: _spent(s, at, now()),
    "TimeEntry.ends_at": lambda s, at: _spent(s, s.sound - HOUR, at),
}
# A count in the future counts from its receipt, and no time entry ends before it starts.
BEHIND_ONLY = {"StockLevel.counted_at", "TimeEntry.starts_at"}
AHEAD_ONLY = {"TimeEntry.ends_at"}


async def _then(stage: Stage, on: Awaitable[UUID], command: str, name: str, **input: Any) -> UUID:
    return await stage.do(command, **{name: await on}, **input)


async def _spent(stage: Stage, start: datetime, end: datetime) -> UUID:
    given = {"technicianId": stage.technician.id, "kind": "WORK"}
    return await stage.do("recordTimeEntry", **given, startsAt=start, endsAt=end)


async def suspect(house: House, entity: str, id: UUID, _as: Any = "MANAGER") -> bool:
    name = entity[0].lower() + entity[1:]
    found = await ask(house, f"query($id:ID!){{{name}(id:$id){{clockSuspect}}}}", _as, id=str(id))
    flag: bool = found[name]["clockSuspect"]
    return flag


@pytest.mark.slow("Every time of every command.")
async def test_every_implausible_device_time_is_stored_and_flagged(house: House) -> None:
    stage = await Stage(house).set_up()
    ahead, behind = now() + AHEAD + HOUR, now() - BEHIND - HOUR
    for column, case in CASES.items():
        times = {stage.sound: False, ahead: column not in BEHIND_ONLY, behind: column not in AHEAD_ONLY}
        tried = {time: flag for time, flag in times.items() if flag or time == stage.sound}
        entity, _, name = column.partition(".")
        found = {}
        for time in tried:
            id = await case(stage, time)
            row = await stage.world.read(ENTITIES[entity], id)
            assert getattr(row, name) == time, column
            found[time] = await suspect(house, entity, id)
        assert found == tried, column
    # Every column that takes a time from a device, directly or not, is marked as one.
    assert await _columns_that_hold(house, ahead, behind) <= CASES.keys()


async def _columns_that_hold(house: House, *times: datetime) -> set[str]:
    async with house.reading() as session:
        return {
            f"{name}.{one.name}"
            for name, entity in ENTITIES.items()
            for one in _times_of(entity)
            if await session.scalar(
                select(entity.id)
                .where(entity.organisation_id == house.organisation_id, getattr(entity, one.name).in_(times))
                .limit(1)
            )
        }


def _times_of(entity: type[Entity]) -> list[Any]:
    return [one for one in fields(entity) if one.type is datetime]


def test_every_time_column_names_its_source_and_each_device_time_has_a_case() -> None:
    times = {f"{name}.{one.name}": one for name, entity in ENTITIES.items() for one in _times_of(entity)}
    assert [name for name, one in times.items() if one.time_source is None] == []
    assert {name for name, one in times.items() if one.time_source is TimeSource.DEVICE} == CASES.keys()
    # Times derived from steps leave out the steps with a suspect clock.
    derived = {name for name, one in times.items() if one.time_source is TimeSource.DERIVED}
    assert derived == {"Appointment.arrived_at", "Appointment.actual_start", "Appointment.actual_end"}


async def _received_at(house: House, id: UUID, at: datetime) -> None:
    """Set the time at which the server received every change of a record so far."""
    table: Any = Change.__table__
    async with house.writing() as session:
        own = (table.c.organisation_id == house.organisation_id, table.c.id == id)
        await session.execute(update(table).where(*own).values(recorded_at=at))
        await session.commit()


async def test_a_time_is_compared_with_its_own_receipt_not_its_records_creation(house: House) -> None:
    stage = await Stage(house).set_up()
    run = await stage.run()
    item = {"runId": run, "itemKey": "on"}
    first = now() - timedelta(days=3)
    answer = await stage.do("answerChecklistItem", **item, checked=False, at=first)
    [row] = await house.rows(ChecklistAnswer, ChecklistAnswer.id == answer)
    await stage.world.put(row, created_at=first)
    await _received_at(house, answer, first)
    await stage.do("answerChecklistItem", **item, checked=True, at=stage.sound)
    assert await suspect(house, "ChecklistAnswer", answer) is False


async def test_editing_another_field_keeps_the_flag_of_a_wrong_time(house: House) -> None:
    stage = await Stage(house).set_up()
    finding = await stage.finding(now() - timedelta(days=4))
    await _received_at(house, finding, now() - timedelta(days=6))
    await stage.do("correctAuditFinding", findingId=finding, at=stage.sound)
    assert await suspect(house, "AuditFinding", finding) is True


async def test_a_past_audit_may_be_old_but_not_in_the_future(house: House) -> None:
    past = {"title": "Demo inspection", "findings": [{"grade": "MINOR", "description": "Demo dust"}]}
    flags = []
    for key, at in (("old", now() - 20 * BEHIND), ("new", now() + AHEAD + HOUR)):
        audit = await house.run("recordPastAudit", "AUDITOR", externalKey=key, performedAt=at, **past)
        [finding] = await house.rows(AuditFinding, AuditFinding.audit_id == audit.id)
        found = await suspect(house, "Audit", audit.id), await suspect(house, "AuditFinding", finding.id)
        flags.append(found)
    assert flags == [(False, False), (True, True)]


_LIST = "{ notes { nodes { text clockSuspect } } audits { nodes { clockSuspect } } }"


async def test_flags_cost_the_same_statements_for_many_rows_as_for_one(house: House) -> None:
    stage = await Stage(house).set_up()
    costs = []
    for _ in range(2):
        await stage.do("addNote", workOrderId=stage.order.id, text="right", at=stage.sound)
        await stage.do("addNote", workOrderId=stage.order.id, text="wrong", at=now() + 5 * AHEAD)
        await stage.audit(*_REPORTED)
        with statements(house) as sent:
            found = await ask(house, _LIST)
        costs.append(len(sent))
    assert {(one["text"], one["clockSuspect"]) for one in found["notes"]["nodes"]} == {
        ("right", False),
        ("wrong", True),
    }
    assert len(found["audits"]["nodes"]) == 2
    assert costs[0] == costs[1]


async def test_a_technician_sees_the_flag_and_the_history_shows_it(house: House) -> None:
    stage = await Stage(house).set_up()
    technician = TestDevice(house, actor=stage.technician.actor)
    visit = await stage.world.visit(stage.technician)
    wrong = (now() + AHEAD + HOUR).isoformat()
    note = technician.operation("addNote", appointmentId=visit.id, text="Gas leak")
    [outcome] = await technician.push(note | {"occurredAt": wrong})
    assert (outcome.status, outcome.code) == ("applied", None)
    assert outcome.record_id is not None
    assert await suspect(house, "Note", outcome.record_id, technician.actor) is True
    history = "query($id:ID!){note(id:$id){history{nodes{clockSuspect}}}}"
    found = await ask(house, history, id=str(outcome.record_id))
    assert found["note"]["history"]["nodes"] == [{"clockSuspect": True}]
