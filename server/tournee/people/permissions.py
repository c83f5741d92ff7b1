"""The permissions of this domain, and the roles that hold each."""

from tournee.auth.roles import PLANNERS, STAFF, permission

PEOPLE_READ = permission(
    "people:read",
    "Technicians, skills, shifts, absences, territories",
    held_by=STAFF,
)
PEOPLE_WRITE = permission(
    "people:write",
    "Add and change technicians, skills, shifts, absences, territories",
    held_by=PLANNERS,
)
