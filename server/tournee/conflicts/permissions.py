"""The permissions of this domain, and the roles that hold each."""

from tournee.auth.roles import STAFF, Role, grant, permission
from tournee.kernel.conflict import CONFLICTS_READ, Conflict

# The kernel knows no roles.
Conflict.__table__.c.role.info["of"] = Role

grant(CONFLICTS_READ, held_by=STAFF)
CONFLICTS_WRITE = permission(
    "conflicts:write",
    "Decide conflicts",
    held_by={Role.DISPATCHER, Role.MANAGER, Role.AUDITOR},
)
