"""The permissions of this domain, and the roles that hold each."""

from tournee.auth.roles import PLANNERS, STAFF, Role, permission

STOCK_MANAGE = permission(
    "stock:manage",
    "Add parts and stock locations; receive, count and scrap at a warehouse; reverse anybody's "
    "movement; settle discrepancies",
    held_by=PLANNERS,
)
STOCK_READ = permission(
    "stock:read",
    "Parts, stock locations, movements, counts, levels, discrepancies",
    held_by=STAFF,
)
STOCK_WRITE = permission(
    "stock:write",
    "Record parts that are used, carried, returned, received, counted or scrapped; without "
    "`stock:manage` only at one's own van, or at a warehouse when fetching or returning parts",
    held_by={Role.TECHNICIAN, Role.DISPATCHER, Role.MANAGER},
)
