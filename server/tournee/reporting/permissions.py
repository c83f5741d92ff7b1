"""What an access token may allow in this domain, and which roles hold it."""

from tournee.auth.roles import OFFICE, permission

SIGHT_READ = permission(
    "sight:read",
    "What another person's device holds and why",
    held_by=OFFICE,
)
