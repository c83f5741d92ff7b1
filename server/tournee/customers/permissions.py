"""The permissions of this domain, and the roles that hold each."""

from tournee.auth.roles import EVERYBODY, PLANNERS, permission

CUSTOMERS_READ = permission(
    "customers:read",
    "Customers, contacts, sites, expectations, the communication log",
    held_by=EVERYBODY,
)
CUSTOMERS_WRITE = permission(
    "customers:write",
    "Add and change customers, contacts, sites, expectations",
    held_by=PLANNERS,
)
