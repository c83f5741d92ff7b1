"""The permissions of this domain, and the roles that hold each."""

from tournee.auth.roles import Role, permission

WEBHOOKS_READ = permission(
    "webhooks:read",
    "Webhooks: where changes are sent, and which deliveries failed",
    held_by=frozenset({Role.MANAGER}),
)
WEBHOOKS_WRITE = permission(
    "webhooks:write",
    "Add and change webhooks, and send failed deliveries again",
    held_by=frozenset({Role.MANAGER}),
)
