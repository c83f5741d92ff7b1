"""Crews: who is assigned to appointments, and what prevents sending a technician there; reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import and_, select

from tournee.customers.models import Site
from tournee.kernel.entity import now
from tournee.kernel.reader import Reader
from tournee.people.models import Skill, Technician, TechnicianSkill, TechnicianStatus
from tournee.work.models import Appointment, Assignment, WorkOrder
from tournee.work.states import OVER, UNDER_WAY, WorkOrderStatus
from tournee.work.timing import local_day


@dataclass(frozen=True)
class CrewMember:
    """A technician who is assigned now."""

    technician_id: UUID
    account_id: UUID | None
    name: str
    status: TechnicianStatus
    lead: bool


@dataclass(frozen=True)
class Circumstances:
    """What an appointment's order requires, and the day of the visit at its site."""

    order: WorkOrderStatus
    skill_ids: frozenset[UUID]
    day: date


def against_new_crew(visit: Appointment) -> list[str]:
    """Return why nobody can be assigned: the visit is over."""
    return [f"The visit is {visit.status}."] if visit.status in OVER else []


def against_reassigning(visit: Appointment) -> list[str]:
    """Return why a visit cannot be handed to somebody else: a technician has left for it."""
    return [f"The visit is {visit.status}."] if visit.status in OVER | UNDER_WAY else []


async def crews_of(read: Reader, visits: Sequence[Appointment]) -> dict[UUID, list[CrewMember]]:
    """Return who is assigned now, the lead first. An appointment's lock protects its crew."""
    crews: dict[UUID, list[CrewMember]] = {visit.id: [] for visit in visits}
    if not visits:
        return crews
    rows = await read.execute(
        select(
            Assignment.appointment_id,
            Technician.id,
            Technician.account_id,
            Technician.name,
            Technician.status,
            Assignment.lead,
        )
        .join(
            Technician,
            and_(
                Technician.organisation_id == Assignment.organisation_id,
                Technician.id == Assignment.technician_id,
            ),
        )
        .where(
            Assignment.appointment_id.in_(crews),
            Assignment.active.is_(True),
            Assignment.deleted.is_(False),
        )
        .order_by(Assignment.lead.desc(), Assignment.id)
    )
    for appointment_id, *member in rows:
        crews[appointment_id].append(CrewMember(*member))
    return crews


async def circumstances_of(read: Reader, visits: Sequence[Appointment]) -> dict[UUID, Circumstances]:
    """Return the circumstances of each appointment."""
    if not visits:
        return {}
    here = WorkOrder.organisation_id == Appointment.organisation_id
    there = and_(Site.organisation_id == Appointment.organisation_id, Site.id == Appointment.site_id)
    rows = await read.execute(
        select(Appointment.id, WorkOrder.status, WorkOrder.required_skill_ids, Site.time_zone)
        .join(WorkOrder, and_(here, WorkOrder.id == Appointment.work_order_id))
        .outerjoin(Site, there)
        .where(
            Appointment.id.in_([visit.id for visit in visits]),
        )
    )
    starts = {visit.id: visit.starts_at or now() for visit in visits}
    return {
        id: Circumstances(
            status,
            frozenset(map(UUID, skill_ids)),
            local_day(starts[id], time_zone),
        )
        for id, status, skill_ids, time_zone in rows
    }


async def against_sending(
    read: Reader, sent: Sequence[tuple[CrewMember, Circumstances]], *, whatever_skills: bool = False
) -> list[list[str]]:
    """Return why each of these technicians cannot be sent in the given circumstances."""
    active = [one for one in sent if one[0].status is TechnicianStatus.ACTIVE]
    missing = {} if whatever_skills else await _missing_skills(read, active)
    return [
        missing.get((member, there), [])
        if member.status is TechnicianStatus.ACTIVE
        else [f"{member.name} is not active."]
        for member, there in sent
    ]


async def _missing_skills(
    read: Reader, sent: Sequence[tuple[CrewMember, Circumstances]]
) -> dict[tuple[CrewMember, Circumstances], list[str]]:
    """Return a sentence for each required skill that a technician lacks on the day of the visit."""
    asked = [(member, there) for member, there in sent if there.skill_ids]
    if not asked:
        return {}
    held = defaultdict(list)
    for (skill,) in await read.execute(
        select(TechnicianSkill).where(
            TechnicianSkill.technician_id.in_({member.technician_id for member, _ in asked}),
            TechnicianSkill.deleted.is_(False),
        )
    ):
        held[skill.technician_id].append(skill)
    lacking = {}
    for member, there in asked:
        valid = {skill.skill_id for skill in held[member.technician_id] if skill.is_valid_on(there.day)}
        lacking[member, there] = there.skill_ids - valid
    names = await _names_of_skills(read, set().union(*lacking.values()))
    return {
        one: [
            f"The required skill {name} is missing or expired."
            for name in sorted(names[id] for id in ids & names.keys())
        ]
        for one, ids in lacking.items()
    }


async def _names_of_skills(read: Reader, ids: Collection[UUID]) -> dict[UUID, str]:
    if not ids:
        return {}
    found = select(Skill.id, Skill.name).where(Skill.id.in_(ids))
    return {row.id: row.name for row in await read.execute(found)}
