"""The permissions of this domain, and the roles that hold each."""

from tournee.auth.roles import EVERYBODY, Role, permission

ASSETS_READ = permission(
    "assets:read",
    "Assets, meters, readings",
    held_by=EVERYBODY,
)
ASSETS_WRITE = permission(
    "assets:write",
    "Add assets, move them, record readings",
    held_by={Role.TECHNICIAN, Role.DISPATCHER, Role.MANAGER},
)
