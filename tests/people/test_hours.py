"""Shifts and absences, and the free time that follows from them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import pytest

from tests.house import House
from tests.people.test_technicians import technician
from tournee.kernel.errors import Conflict, Forbidden, Invalid, NotFound, TransitionNotAllowed
from tournee.people.models import Absence, AbsenceStatus
from tournee.people.queries import Interval, available, free_intervals, technicians_with_skills


def at(hour: int, day: int = 2) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def hours(starts: int, ends: int) -> dict[str, Any]:
    return {"startsAt": at(starts), "endsAt": at(ends)}


async def test_shifts_of_one_technician_do_not_overlap_but_may_touch(house: House) -> None:
    one, _ = await technician(house)
    two, _ = await technician(house, "Demo Two")
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


async def test_a_shift_ends_after_it_begins(house: House) -> None:
    one, _ = await technician(house)
    for ends in (8, 7):
        with pytest.raises(Invalid) as refusal:
            await house.run("createShift", technicianId=one.id, **hours(8, ends))
        assert refusal.value.field == "endsAt"


async def test_technicians_do_not_plan_their_own_shifts(house: House) -> None:
    one, actor = await technician(house)
    with pytest.raises(Forbidden):
        await house.run("createShift", actor, technicianId=one.id, **hours(8, 12))


async def test_a_technician_asks_to_be_away_and_somebody_else_decides(house: House) -> None:
    one, actor = await technician(house)
    absence = await house.run("requestAbsence", actor, technicianId=one.id, **hours(8, 12))
    assert absence.status is AbsenceStatus.REQUESTED
    with pytest.raises(Forbidden):
        await house.run("approveAbsence", actor, absenceId=absence.id)
    decided = await house.run("approveAbsence", "DISPATCHER", absenceId=absence.id, note="Enjoy")
    assert (decided.status, decided.decision_note) == (AbsenceStatus.APPROVED, "Enjoy")
    assert decided.decided_by_id == house.actor("DISPATCHER").id


async def test_a_manager_who_is_a_technician_does_not_approve_their_own_absence(house: House) -> None:
    manager = await house.account("MANAGER")
    own = await house.run("createTechnician", name="Demo Manager", accountId=manager.id)
    absence = await house.run("requestAbsence", manager, technicianId=own.id, **hours(8, 12))
    with pytest.raises(Forbidden, match="Somebody else"):
        await house.run("approveAbsence", manager, absenceId=absence.id)
    await house.run("approveAbsence", "DISPATCHER", absenceId=absence.id)


async def test_a_technician_asks_for_nobody_else(house: House) -> None:
    _, actor = await technician(house)
    two, other = await technician(house, "Demo Two")
    with pytest.raises(Forbidden):
        await house.run("requestAbsence", actor, technicianId=two.id, **hours(8, 12))
    theirs = await house.run("requestAbsence", other, technicianId=two.id, **hours(8, 12))
    with pytest.raises(NotFound):
        await house.run("cancelAbsence", actor, absenceId=theirs.id)
    with pytest.raises(NotFound):
        await house.run("requestAbsence", actor, technicianId=uuid4(), **hours(8, 12))


async def test_an_absence_moves_only_along_its_states(house: House) -> None:
    one, actor = await technician(house)

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


@pytest.mark.parametrize(
    ("shifts", "absences", "free"),
    [
        ([(8, 12)], [], [(8, 12)]),
        ([(8, 16)], [(10, 11)], [(8, 10), (11, 16)]),
        ([(8, 16)], [(7, 9), (15, 18)], [(9, 15)]),
        ([(8, 16)], [(10, 12), (11, 13)], [(8, 10), (13, 16)]),
        ([(8, 16)], [(10, 14), (11, 12)], [(8, 10), (14, 16)]),
        ([(8, 16)], [(0, 23)], []),
        ([(12, 16), (8, 12)], [], [(8, 16)]),
        ([(8, 10), (14, 16)], [(9, 15)], [(8, 9), (15, 16)]),
        ([(2, 5), (17, 23)], [], [(2, 5), (17, 20)]),
        ([(20, 23)], [], []),
    ],
)
def test_free_time_is_shifts_without_absences(
    shifts: list[tuple[int, int]], absences: list[tuple[int, int]], free: list[tuple[int, int]]
) -> None:
    def intervals(pairs: list[tuple[int, int]]) -> list[Interval]:
        return [Interval(at(starts), at(ends)) for starts, ends in pairs]

    found = free_intervals(intervals(shifts), intervals(absences), Interval(at(1), at(20)))
    assert found == intervals(free)


async def test_only_approved_absences_take_time_away(house: House) -> None:
    one, _ = await technician(house)
    two, _ = await technician(house, "Demo Two")
    await house.run("createShift", technicianId=one.id, **hours(8, 16))
    await house.run("requestAbsence", technicianId=one.id, **hours(8, 9))
    absence = await house.run("requestAbsence", technicianId=one.id, **hours(12, 16))
    await house.run("approveAbsence", "DISPATCHER", absenceId=absence.id)
    async with house.reading() as session:
        free = await available(session, house.organisation_id, [one.id, two.id], at(0), at(15))
    assert free == {one.id: [Interval(at(8), at(12))], two.id: []}


async def test_technicians_are_found_who_have_every_skill_on_the_day(house: House) -> None:
    gas = await house.run("createSkill", name="Gas")
    lifts = await house.run("createSkill", name="Lifts")
    both, _ = await technician(house)
    expired, _ = await technician(house, "Demo Two")
    gone, _ = await technician(house, "Demo Three")
    for person in (both, expired, gone):
        ends = "2026-02-28" if person is expired else "2026-12-31"
        for skill in (gas, lifts):
            await house.run(
                "createTechnicianSkill", technicianId=person.id, skillId=skill.id, level=3, validTo=ends
            )
    await house.run("createTechnicianSkill", technicianId=both.id, skillId=gas.id, level=5)
    await house.run("updateTechnician", technicianId=gone.id, status="INACTIVE")
    day, before = date(2026, 3, 1), date(2026, 2, 28)

    async def found(skills: list[Any], on: date, level: int = 1) -> set[Any]:
        async with house.reading() as session:
            ids = [skill.id for skill in skills]
            return await technicians_with_skills(session, house.organisation_id, ids, on, level)

    assert await found([gas, lifts], day) == {both.id}
    assert await found([gas, lifts], before) == {both.id, expired.id}
    assert await found([gas], day, 5) == {both.id}
    assert await found([gas, lifts], day, 5) == set()
    assert await found([], day) == {both.id, expired.id}
