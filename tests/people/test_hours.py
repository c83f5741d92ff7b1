"""Shifts and absences."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from tests.support.house import House
from tournee.kernel.errors import Conflict, Forbidden, Invalid, NotFound, TransitionNotAllowed
from tournee.people.models import Absence, AbsenceStatus


def at(hour: int, day: int = 2) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def hours(starts: int, ends: int) -> dict[str, Any]:
    return {"startsAt": at(starts), "endsAt": at(ends)}


async def test_a_technicians_shifts_may_touch_but_not_overlap(house: House) -> None:
    one, _ = await house.technician()
    two, _ = await house.technician("Demo Two")
    await house.run("createShift", technicianId=one.id, **hours(8, 12))
    late = await house.run("createShift", technicianId=one.id, **hours(12, 16))
    await house.run("createShift", technicianId=two.id, **hours(9, 11))
    for clash in (hours(11, 13), hours(7, 17), hours(9, 10)):
        with pytest.raises(Conflict, match="overlaps"):
            await house.run("createShift", technicianId=one.id, **clash)
    with pytest.raises(Conflict, match="overlaps"):
        await house.run("updateShift", shiftId=late.id, startsAt=at(11))
    moved = await house.run("updateShift", shiftId=late.id, startsAt=at(13))
    assert moved.starts_at == at(13)
    await house.run("deleteShift", shiftId=late.id)
    await house.run("createShift", technicianId=one.id, **hours(14, 15))


async def test_a_shift_must_end_after_it_begins(house: House) -> None:
    one, _ = await house.technician()
    for ends in (8, 7):
        with pytest.raises(Invalid) as refusal:
            await house.run("createShift", technicianId=one.id, **hours(8, ends))
        assert refusal.value.field == "endsAt"


async def test_technicians_cannot_plan_their_own_shifts(house: House) -> None:
    one, actor = await house.technician()
    with pytest.raises(Forbidden):
        await house.run("createShift", actor, technicianId=one.id, **hours(8, 12))


async def test_another_account_decides_on_a_technicians_absence_request(house: House) -> None:
    one, actor = await house.technician()
    absence = await house.run("requestAbsence", actor, technicianId=one.id, **hours(8, 12))
    assert absence.status is AbsenceStatus.REQUESTED
    with pytest.raises(Forbidden):
        await house.run("approveAbsence", actor, absenceId=absence.id)
    decided = await house.run("approveAbsence", "DISPATCHER", absenceId=absence.id, note="Enjoy")
    assert (decided.status, decided.decision_note) == (AbsenceStatus.APPROVED, "Enjoy")
    assert decided.decided_by_id == house.actor("DISPATCHER").id


async def test_managers_cannot_approve_their_own_absence(house: House) -> None:
    manager = await house.account("MANAGER")
    own = await house.run("createTechnician", name="Demo Manager", accountId=manager.id)
    absence = await house.run("requestAbsence", manager, technicianId=own.id, **hours(8, 12))
    with pytest.raises(Forbidden, match="Somebody else"):
        await house.run("approveAbsence", manager, absenceId=absence.id)
    await house.run("approveAbsence", "DISPATCHER", absenceId=absence.id)


async def test_a_technician_requests_only_their_own_absence(house: House) -> None:
    _, actor = await house.technician()
    two, other = await house.technician("Demo Two")
    with pytest.raises(Forbidden):
        await house.run("requestAbsence", actor, technicianId=two.id, **hours(8, 12))
    theirs = await house.run("requestAbsence", other, technicianId=two.id, **hours(8, 12))
    with pytest.raises(NotFound):
        await house.run("cancelAbsence", actor, absenceId=theirs.id)
    with pytest.raises(NotFound):
        await house.run("requestAbsence", actor, technicianId=uuid4(), **hours(8, 12))


async def test_an_absence_changes_only_by_its_declared_transitions(house: House) -> None:
    one, actor = await house.technician()

    async def absence() -> Absence:
        made: Absence = await house.run("requestAbsence", actor, technicianId=one.id, **hours(8, 12))
        return made

    rejected, canceled, approved = await absence(), await absence(), await absence()
    assert [step.to for step in rejected.transitions()] == ["APPROVED", "REJECTED", "CANCELED"]
    await house.run("rejectAbsence", absenceId=rejected.id, note="Too many are away")
    await house.run("cancelAbsence", actor, absenceId=canceled.id)
    await house.run("approveAbsence", absenceId=approved.id)
    for name, row in (
        ("approveAbsence", rejected),
        ("approveAbsence", canceled),
        ("cancelAbsence", rejected),
    ):
        with pytest.raises(TransitionNotAllowed, match="cannot become"):
            await house.run(name, absenceId=row.id)
    taken_back = await house.run("cancelAbsence", actor, absenceId=approved.id)
    assert taken_back.transitions() == []
