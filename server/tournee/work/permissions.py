"""The permissions of this domain, and the roles that hold each."""

from tournee.auth.roles import EVERYBODY, PLANNERS, STAFF, Role, permission

WORK_INTERNAL = permission(
    "work:internal",
    "Internal data: a visit's steps with times and positions, time entries, a customer's notes and tags",
    held_by=STAFF,
)
WORK_PLAN = permission(
    "work:plan",
    "Plan work orders and visits, dispatch technicians",
    held_by=PLANNERS,
)
WORK_READ = permission(
    "work:read",
    "Work orders, appointments, assignments, notes that are not internal",
    held_by=EVERYBODY,
)
WORK_WRITE = permission(
    "work:write",
    "Carry out work orders and visits: report, travel, arrive, finish, add notes and time entries",
    held_by={Role.TECHNICIAN, Role.DISPATCHER, Role.MANAGER},
)
