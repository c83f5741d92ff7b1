"""What an access token may allow in this domain, and which roles hold it."""

from tournee.auth.roles import PLANNERS, STAFF, Role, permission

STOCK_MANAGE = permission(
    "stock:manage",
    "Add parts and places; receive, count and scrap at a warehouse, take back anybody's movement, "
    "settle discrepancies",
    held_by=PLANNERS,
)
STOCK_READ = permission(
    "stock:read",
    "Parts, places, movements, counts, levels, discrepancies",
    held_by=STAFF,
)
STOCK_WRITE = permission(
    "stock:write",
    "Record what is used, carried, returned, received, counted, scrapped; without `stock:manage` at "
    "one's own van, or with a warehouse where parts are fetched or brought back",
    held_by={Role.TECHNICIAN, Role.DISPATCHER, Role.MANAGER},
)
