"""The permissions of this domain, and the roles that hold each."""

from tournee.auth.roles import EVERYBODY, Role, permission

ACCOUNT_SELF = permission(
    "account:self",
    "Your own account and device: password, enrolment, signing out",
    held_by=EVERYBODY,
)
ACCOUNTS_READ = permission(
    "accounts:read",
    "Accounts: managers see all, technicians and portals their own",
    held_by={Role.TECHNICIAN, Role.MANAGER, Role.CUSTOMER_PORTAL},
)
ACCOUNTS_WRITE = permission(
    "accounts:write",
    "Add and disable accounts, set their passwords",
    held_by={Role.MANAGER},
)
DEVICES_READ = permission(
    "devices:read",
    "Devices",
    held_by=EVERYBODY,
)
DEVICES_WRITE = permission(
    "devices:write",
    "Revoke devices",
    held_by={Role.MANAGER},
)
