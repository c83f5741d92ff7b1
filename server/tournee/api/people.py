"""Technicians in GraphQL."""

from __future__ import annotations

from sqlalchemy import select

from tournee.api.context import Info
from tournee.api.load import readable
from tournee.api.nodes import ComputedField, Extras, Link, ListName
from tournee.api.transitions import TRANSITIONS, Ways, by_row
from tournee.auth.models import Account
from tournee.people.commands import approve_absence, cancel_absence, reject_absence
from tournee.people.models import (
    Absence,
    AbsenceStatus,
    Technician,
    TechnicianProfile,
    TechnicianSkill,
    Territory,
    TerritoryMembership,
)


async def profile(root: Technician, info: Info) -> TechnicianProfile | None:
    """The technician's planning details; null for colleagues."""
    seen = readable(TechnicianProfile, info.context.actor)
    found = await info.context.load.related(
        "profile",
        root.id,
        lambda ids: select(TechnicianProfile.technician_id, TechnicianProfile).where(
            seen, TechnicianProfile.technician_id.in_(ids)
        ),
    )
    return found[0] if found else None


_WAYS: Ways = {
    AbsenceStatus.APPROVED: (approve_absence,),
    AbsenceStatus.REJECTED: (reject_absence,),
    AbsenceStatus.CANCELED: (cancel_absence,),
}

EXTRAS = Extras(
    lists=(
        ListName(Territory, "parent_id", "parts"),
        ListName(TechnicianProfile, "technician_id", None),
        ListName(TechnicianSkill, "technician_id", "skills"),
        ListName(TechnicianSkill, "skill_id", "holders"),
        ListName(TerritoryMembership, "technician_id", "memberships"),
        ListName(TerritoryMembership, "territory_id", "memberships"),
    ),
    links=(
        Link(Technician, "account_id", Account),
        Link(Absence, "decided_by_id", Account),
    ),
    computed=(
        ComputedField(Technician, profile, TechnicianProfile | None),
        ComputedField(Absence, by_row(_WAYS), TRANSITIONS, needs=("status",)),
    ),
)
