"""Technicians: where they work, what they can do, and when they are available."""

from tournee.people.models.hours import Absence, AbsenceKind, AbsenceStatus, Shift, ShiftKind, Timed
from tournee.people.models.membership import MEMBERSHIP, WINDOW, to_profile
from tournee.people.models.skills import Skill, TechnicianSkill
from tournee.people.models.technicians import (
    WINDOW_AHEAD,
    WINDOW_BEHIND,
    OfTechnician,
    Technician,
    TechnicianKind,
    TechnicianProfile,
    TechnicianStatus,
    window_ends,
    window_starts,
)
from tournee.people.models.territories import MembershipKind, Territory, TerritoryMembership

__all__ = [
    "MEMBERSHIP",
    "WINDOW",
    "WINDOW_AHEAD",
    "WINDOW_BEHIND",
    "Absence",
    "AbsenceKind",
    "AbsenceStatus",
    "MembershipKind",
    "OfTechnician",
    "Shift",
    "ShiftKind",
    "Skill",
    "Technician",
    "TechnicianKind",
    "TechnicianProfile",
    "TechnicianSkill",
    "TechnicianStatus",
    "Territory",
    "TerritoryMembership",
    "Timed",
    "to_profile",
    "window_ends",
    "window_starts",
]
