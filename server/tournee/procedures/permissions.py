"""The permissions of this domain, and the roles that hold each."""

from tournee.auth.roles import STAFF, Role, permission

PROCEDURES_READ = permission(
    "procedures:read",
    "Checklists and their runs",
    held_by=STAFF,
)
PROCEDURES_WRITE = permission(
    "procedures:write",
    "Write and publish checklists",
    held_by={Role.MANAGER, Role.AUDITOR},
)
