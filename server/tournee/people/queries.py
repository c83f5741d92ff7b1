"""Who can do it, and who is there: what planning asks of people. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.people.models import (
    Absence,
    AbsenceStatus,
    Shift,
    Technician,
    TechnicianSkill,
    TechnicianStatus,
)


class Interval(NamedTuple):
    """From a time up to but not including another."""

    starts_at: datetime
    ends_at: datetime


def free_intervals(
    shifts: Iterable[Interval], absences: Iterable[Interval], within: Interval
) -> list[Interval]:
    """The parts of the shifts within the given time in which the technician is not away."""
    away = sorted(absences)
    free: list[Interval] = []
    for shift in sorted(shifts):
        starts, ends = max(shift.starts_at, within.starts_at), min(shift.ends_at, within.ends_at)
        for absence in away:
            if absence.ends_at <= starts or absence.starts_at >= ends:
                continue
            free.append(Interval(starts, absence.starts_at))
            starts = absence.ends_at
        free.append(Interval(starts, ends))
    return _joined(interval for interval in free if interval.starts_at < interval.ends_at)


def _joined(intervals: Iterable[Interval]) -> list[Interval]:
    """Intervals that touch become one; a night may be covered by two shifts."""
    joined: list[Interval] = []
    for interval in intervals:
        if joined and joined[-1].ends_at == interval.starts_at:
            joined[-1] = Interval(joined[-1].starts_at, interval.ends_at)
        else:
            joined.append(interval)
    return joined


async def technicians_with_skills(
    session: AsyncSession,
    organisation_id: UUID,
    skill_ids: Collection[UUID],
    on: date,
    minimum_level: int = 1,
) -> set[UUID]:
    """Active technicians who have every one of the skills on that day; all of them if none is asked."""
    wanted = set(skill_ids)
    active = select(Technician.id).where(
        Technician.organisation_id == organisation_id,
        Technician.deleted.is_(False),
        Technician.status == TechnicianStatus.ACTIVE,
    )
    if wanted:
        held = select(TechnicianSkill.technician_id).where(
            TechnicianSkill.organisation_id == organisation_id,
            TechnicianSkill.deleted.is_(False),
            TechnicianSkill.skill_id.in_(wanted),
            TechnicianSkill.level >= minimum_level,
            or_(TechnicianSkill.valid_from.is_(None), TechnicianSkill.valid_from <= on),
            or_(TechnicianSkill.valid_to.is_(None), TechnicianSkill.valid_to >= on),
        )
        skilled = held.group_by(TechnicianSkill.technician_id).having(
            func.count(TechnicianSkill.skill_id.distinct()) == len(wanted)
        )
        active = active.where(Technician.id.in_(skilled))
    return set(await session.scalars(active))


async def available(
    session: AsyncSession,
    organisation_id: UUID,
    technician_ids: Collection[UUID],
    starts_at: datetime,
    ends_at: datetime,
) -> dict[UUID, list[Interval]]:
    """For each technician the times within which they are at work: shifts without approved absences."""
    within = Interval(starts_at, ends_at)

    async def of(model: Any, *conditions: Any) -> dict[UUID, list[Interval]]:
        statement = _overlapping(model, organisation_id, technician_ids, within).where(*conditions)
        found = defaultdict(list)
        for technician_id, starts, ends in await session.execute(statement):
            found[technician_id].append(Interval(starts, ends))
        return found

    shifts = await of(Shift)
    absences = await of(Absence, Absence.status == AbsenceStatus.APPROVED)
    return {id: free_intervals(shifts.get(id, ()), absences.get(id, ()), within) for id in technician_ids}


def _overlapping(
    model: Any, organisation_id: UUID, technician_ids: Collection[UUID], within: Interval
) -> Select[Any]:
    return select(model.technician_id, model.starts_at, model.ends_at).where(
        model.organisation_id == organisation_id,
        model.deleted.is_(False),
        model.technician_id.in_(technician_ids),
        model.starts_at < within.ends_at,
        model.ends_at > within.starts_at,
    )
