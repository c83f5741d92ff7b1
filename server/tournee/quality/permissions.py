"""The permissions of this domain, and the roles that hold each."""

from tournee.auth.roles import STAFF, Role, permission

AUDITS_PERFORM = permission(
    "audits:perform",
    "Start, answer and report an audit; without `quality:write` only audits that you lead, "
    "or in whose team you are `AUDITOR`",
    held_by={Role.TECHNICIAN, Role.MANAGER, Role.AUDITOR},
)
QUALITY_READ = permission(
    "quality:read",
    "Standards, audits, findings",
    held_by=STAFF,
)
QUALITY_WRITE = permission(
    "quality:write",
    "Write standards; plan, staff, complete and close any audit; work off findings",
    held_by={Role.MANAGER, Role.AUDITOR},
)
