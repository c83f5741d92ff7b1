"""Commands about people: plan their hours, keep their skills, record their absences."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from sqlalchemy import select

from tournee.auth.rules import names_accounts, require_accounts
from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.errors import Conflict, Forbidden, Invalid
from tournee.kernel.inputs import UNSET, Limits, Unset
from tournee.kernel.merge import merge
from tournee.kernel.plain import creates, creating, deletes, edits, given
from tournee.kernel.rules import is_held_by_another, not_its_own_ancestor, obeying
from tournee.kernel.transaction import Transaction
from tournee.people.models import (
    Absence,
    AbsenceStatus,
    MembershipKind,
    Shift,
    Skill,
    Technician,
    TechnicianProfile,
    TechnicianSkill,
    Territory,
    TerritoryMembership,
)
from tournee.people.permissions import PEOPLE_WRITE
from tournee.work.permissions import WORK_WRITE


async def _account_is_free(tx: Transaction, technician: Technician) -> None:
    if technician.account_id is None:
        return
    if await is_held_by_another(tx, technician, Technician.account_id == technician.account_id):
        raise Conflict("This account belongs to another technician.", "accountId")


async def _overlaps_no_other(tx: Transaction, shift: Shift) -> None:
    # The technician's row is locked while the shifts are compared.
    await tx.find(Technician, shift.technician_id, "technicianId")
    overlapping = await tx.all(
        select(Shift).where(
            Shift.technician_id == shift.technician_id,
            Shift.id != shift.id,
            Shift.starts_at < shift.ends_at,
            Shift.ends_at > shift.starts_at,
        )
    )
    if overlapping:
        raise Conflict("This overlaps another shift of the technician.", "startsAt")


async def _certificate_has_an_end(tx: Transaction, held: TechnicianSkill) -> None:
    skill = await tx.find(Skill, held.skill_id, "skillId")
    if skill.expires and held.valid_to is None:
        raise Invalid("This skill expires: say on which day it ends.", "validTo")


async def _is_no_second_membership(tx: Transaction, membership: TerritoryMembership) -> None:
    await tx.find(Technician, membership.technician_id, "technicianId")
    others = [
        other
        for other in await tx.all(
            select(TerritoryMembership).where(TerritoryMembership.technician_id == membership.technician_id)
        )
        if other.id != membership.id
    ]
    if any(other.territory_id == membership.territory_id for other in others):
        raise Conflict("The technician works in this territory already.", "territoryId")
    primary = MembershipKind.PRIMARY
    if membership.kind is primary and any(other.kind is primary for other in others):
        raise Conflict("The technician has another primary territory.", "kind")


create_territory = creates(Territory, PEOPLE_WRITE)
update_territory = obeying(edits(Territory, PEOPLE_WRITE), not_its_own_ancestor)

create_skill = creates(Skill, PEOPLE_WRITE)
update_skill = edits(Skill, PEOPLE_WRITE)

create_technician_skill = obeying(creates(TechnicianSkill, PEOPLE_WRITE), _certificate_has_an_end)
update_technician_skill = obeying(
    edits(TechnicianSkill, PEOPLE_WRITE, without=["technician_id", "skill_id"]), _certificate_has_an_end
)
delete_technician_skill = deletes(TechnicianSkill, PEOPLE_WRITE)

create_territory_membership = obeying(creates(TerritoryMembership, PEOPLE_WRITE), _is_no_second_membership)
update_territory_membership = obeying(
    edits(TerritoryMembership, PEOPLE_WRITE, without=["technician_id"]), _is_no_second_membership
)
delete_territory_membership = deletes(TerritoryMembership, PEOPLE_WRITE)

create_shift = obeying(creates(Shift, PEOPLE_WRITE), _overlaps_no_other)
update_shift = obeying(edits(Shift, PEOPLE_WRITE), _overlaps_no_other)
delete_shift = deletes(Shift, PEOPLE_WRITE)

update_technician = obeying(edits(Technician, PEOPLE_WRITE), names_accounts("account_id"), _account_is_free)
update_technician_profile = edits(TechnicianProfile, PEOPLE_WRITE, without=["technician_id"])


@dataclass(frozen=True)
class NewProfile:
    home_latitude: Annotated[float | None, Limits(minimum=-90, maximum=90)] | Unset = UNSET
    """Degrees, WGS 84, where the day begins; null if unknown."""
    home_longitude: Annotated[float | None, Limits(minimum=-180, maximum=180)] | Unset = UNSET
    """Degrees, WGS 84, where the day begins; null if unknown."""
    efficiency: Annotated[float, Limits(minimum=0.1, maximum=10)] | Unset = UNSET
    """Planned durations are divided by it; 1 is usual."""
    profile_id: UUID | Unset = UNSET
    """The id of the planning profile that is made with it; the server makes one if it is left out."""


_OF_PROFILE = ("home_latitude", "home_longitude", "efficiency")


@creating(Technician, PEOPLE_WRITE)
async def create_technician(tx: Transaction, actor: Actor, do: NewProfile) -> Technician:
    """Add a technician, with a profile that only the technician and the office see."""
    values = given(do)
    profile = {name: values.pop(name) for name in _OF_PROFILE if name in values}
    profile["id"] = values.pop("profile_id", None)
    await require_accounts(tx, {"accountId": values.get("account_id")})
    technician = await tx.add(Technician(**values))
    await _account_is_free(tx, technician)
    await tx.add(TechnicianProfile(technician_id=technician.id, **profile))
    return technician


@dataclass(frozen=True)
class MoveWindow:
    technician_id: UUID
    """The technician whose devices get another window."""
    window_from: datetime
    """The first moment of the window."""
    window_to: datetime | Unset = UNSET
    """The first moment after the window; if left out, the window keeps its length."""


@command(PEOPLE_WRITE)
async def move_window(tx: Transaction, actor: Actor, do: MoveWindow) -> TechnicianProfile:
    """Choose the days whose appointments a technician's devices carry, until the window next moves."""
    technician = await tx.find(Technician, do.technician_id, "technicianId")
    (profile,) = await tx.all(
        select(TechnicianProfile).where(TechnicianProfile.technician_id == technician.id)
    )
    profile.move_window(do.window_from, None if do.window_to is UNSET else do.window_to)
    return profile


async def _acts_for(tx: Transaction, actor: Actor, technician_id: UUID) -> Technician:
    """Return the technician: the actor's own, unless the actor plans for others."""
    technician = await tx.find(Technician, technician_id, "technicianId")
    if technician.account_id != actor.id and not actor.may(PEOPLE_WRITE):
        raise Forbidden("Only the technician or the office may do this.", "technicianId")
    return technician


@dataclass(frozen=True)
class UpdateOwnDetails:
    technician_id: UUID
    """The technician record of the account that asks."""
    email: Annotated[str | None, Limits(length=200)] | Unset = UNSET
    phone: Annotated[str | None, Limits(length=40)] | Unset = UNSET
    time_zone: Annotated[str, Limits(length=60)] | Unset = UNSET


@command(WORK_WRITE, offline=True)
async def update_own_details(tx: Transaction, actor: Actor, do: UpdateOwnDetails) -> Technician:
    """Change your own contact details."""
    technician = await _acts_for(tx, actor, do.technician_id)
    given = {"email": do.email, "phone": do.phone, "time_zone": do.time_zone}
    changes = {name: value for name, value in given.items() if value is not UNSET}
    if not changes:
        raise Invalid("Name at least one field to change.")
    await merge(tx, technician, changes)
    return technician


@dataclass(frozen=True)
class AbsenceRequest:
    technician_id: UUID


@creating(Absence, WORK_WRITE, offline=True)
async def request_absence(tx: Transaction, actor: Actor, do: AbsenceRequest) -> Absence:
    """Ask for time off, or report sick; the office decides."""
    await _acts_for(tx, actor, do.technician_id)
    return await tx.add(Absence(**given(do)))


@dataclass(frozen=True)
class CancelAbsence:
    absence_id: UUID
    """The absence to withdraw."""


@command(WORK_WRITE, offline=True)
async def cancel_absence(tx: Transaction, actor: Actor, do: CancelAbsence) -> Absence:
    """Withdraw an absence, whether or not it was approved."""
    absence = await tx.find(Absence, do.absence_id, "absenceId")
    await _acts_for(tx, actor, absence.technician_id)
    absence.cancel()
    return absence


async def _decide(
    tx: Transaction, actor: Actor, do: ApproveAbsence | RejectAbsence, to: AbsenceStatus
) -> Absence:
    absence = await tx.find(Absence, do.absence_id, "absenceId")
    technician = await tx.find(Technician, absence.technician_id)
    if technician.account_id == actor.id:
        raise Forbidden("Somebody else must decide about your own absence.", "absenceId")
    absence.decide(to, actor.id, do.note)
    return absence


@dataclass(frozen=True)
class ApproveAbsence:
    absence_id: UUID
    """The request to approve."""
    note: Annotated[str | None, Limits(length=2000)] = None
    """For the technician; null for nothing."""


@command(PEOPLE_WRITE)
async def approve_absence(tx: Transaction, actor: Actor, do: ApproveAbsence) -> Absence:
    """Approve an absence: the technician cannot be planned during it."""
    return await _decide(tx, actor, do, AbsenceStatus.APPROVED)


@dataclass(frozen=True)
class RejectAbsence:
    absence_id: UUID
    """The request to turn down."""
    note: Annotated[str, Limits(length=2000)]
    """The reason, for the technician."""


@command(PEOPLE_WRITE)
async def reject_absence(tx: Transaction, actor: Actor, do: RejectAbsence) -> Absence:
    """Reject an absence, and say why."""
    return await _decide(tx, actor, do, AbsenceStatus.REJECTED)
