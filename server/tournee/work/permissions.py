"""What an access token may allow in this domain, and which roles hold it."""

from tournee.auth.roles import EVERYBODY, PLANNERS, STAFF, Role, permission

WORK_INTERNAL = permission(
    "work:internal",
    "What is our own: a visit's steps with times and positions, time entries, a customer's notes and tags",
    held_by=STAFF,
)
WORK_PLAN = permission(
    "work:plan",
    "Plan orders and visits, send technicians",
    held_by=PLANNERS,
)
WORK_READ = permission(
    "work:read",
    "Work orders, appointments, assignments, notes that are not internal",
    held_by=EVERYBODY,
)
WORK_WRITE = permission(
    "work:write",
    "Work on them: report, travel, arrive, finish, write notes and time",
    held_by={Role.TECHNICIAN, Role.DISPATCHER, Role.MANAGER},
)
