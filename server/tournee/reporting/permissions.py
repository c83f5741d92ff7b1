"""The permissions of this domain, and the roles that hold each."""

from tournee.auth.roles import OFFICE, permission

SIGHT_READ = permission(
    "sight:read",
    "What another person's device holds and why",
    held_by=OFFICE,
)
