"""Crews: who is assigned to appointments, and what prevents sending a technician there; reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

from sqlalchemy import and_, select

from tournee.customers.models import Site
from tournee.kernel.entity import now
from tournee.kernel.reader import Reader
from tournee.people.models import Skill, Technician, TechnicianSkill, TechnicianStatus
from tournee.procedures.queries import has_required_and_open
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
    """What an appointment's order requires, the day of the visit at its site, and who is assigned."""

    order: WorkOrderStatus
    skill_ids: frozenset[UUID]
    day: date
    # Whether a required checklist is open.
    unfinished: bool
    # The lead first.
    crew: tuple[CrewMember, ...]


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
        select(Assignment.appointment_id, *_MEMBER)
        .join(Technician, _IS_MEMBER)
        .where(Assignment.appointment_id.in_(crews), *_NOW)
        .order_by(*_LEAD_FIRST)
    )
    for appointment_id, *member in rows:
        crews[appointment_id].append(CrewMember(*member))
    return crews


_MEMBER = (Technician.id, Technician.account_id, Technician.name, Technician.status, Assignment.lead)
_IS_MEMBER = and_(
    Technician.organisation_id == Assignment.organisation_id, Technician.id == Assignment.technician_id
)
_NOW = (Assignment.active.is_(True), Assignment.deleted.is_(False))
_LEAD_FIRST = (Assignment.lead.desc(), Assignment.id)


async def circumstances_of(read: Reader, visits: Sequence[Appointment]) -> dict[UUID, Circumstances]:
    """Return the circumstances of each appointment, with one statement for all."""
    if not visits:
        return {}
    here = WorkOrder.organisation_id == Appointment.organisation_id
    there = and_(Site.organisation_id == Appointment.organisation_id, Site.id == Appointment.site_id)
    assigned = and_(
        Assignment.organisation_id == Appointment.organisation_id,
        Assignment.appointment_id == Appointment.id,
        *_NOW,
    )
    rows = await read.execute(
        select(
            Appointment.id,
            WorkOrder.status,
            WorkOrder.required_skill_ids,
            Site.time_zone,
            has_required_and_open(Appointment),
            *_MEMBER,
        )
        .join(WorkOrder, and_(here, WorkOrder.id == Appointment.work_order_id))
        .outerjoin(Site, there)
        .outerjoin(Assignment, assigned)
        .outerjoin(Technician, _IS_MEMBER)
        .where(Appointment.id.in_([visit.id for visit in visits]))
        .order_by(*_LEAD_FIRST)
    )
    starts = {visit.id: visit.starts_at or now() for visit in visits}
    found: dict[UUID, Circumstances] = {}
    for id, status, skill_ids, time_zone, unfinished, *member in rows:
        crew = () if member[0] is None else (CrewMember(*member),)
        if id in found:
            found[id] = replace(found[id], crew=found[id].crew + crew)
        else:
            day = local_day(starts[id], time_zone)
            found[id] = Circumstances(status, frozenset(map(UUID, skill_ids)), day, unfinished, crew)
    return found


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
    required = {id for _, there in asked for id in there.skill_ids}
    names: dict[UUID, str] = {}
    held: dict[UUID, list[TechnicianSkill]] = defaultdict(list)
    holding = and_(
        TechnicianSkill.organisation_id == Skill.organisation_id,
        TechnicianSkill.skill_id == Skill.id,
        TechnicianSkill.technician_id.in_({member.technician_id for member, _ in asked}),
        TechnicianSkill.deleted.is_(False),
    )
    rows = await read.execute(
        select(Skill.id, Skill.name, TechnicianSkill)
        .outerjoin(TechnicianSkill, holding)
        .where(Skill.id.in_(required))
    )
    for id, name, skill in rows:
        names[id] = name
        if skill is not None:
            held[skill.technician_id].append(skill)
    return {(member, there): _sentences(names, there, held[member.technician_id]) for member, there in asked}


def _sentences(names: Mapping[UUID, str], there: Circumstances, held: Sequence[TechnicianSkill]) -> list[str]:
    valid = {skill.skill_id for skill in held if skill.is_valid_on(there.day)}
    lacking = (there.skill_ids - valid) & names.keys()
    return [
        f"The required skill {name} is missing or expired." for name in sorted(names[id] for id in lacking)
    ]
