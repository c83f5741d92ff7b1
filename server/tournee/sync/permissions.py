"""The permissions of the change log, and the roles that hold each."""

from tournee.auth.roles import EVERYBODY, OFFICE, permission

CHANGES_READ = permission(
    "changes:read",
    "Changes of the records that you see",
    held_by=EVERYBODY,
)
HISTORY_READ = permission(
    "history:read",
    "Who changed which field of a record, when, on which device",
    held_by=OFFICE,
)
