"""Roles, and the permissions that each holds. A token carries the role; its permissions follow.

A domain declares each permission with `permission`, which requires the roles that hold it: no name grants
anything by itself. schema/permissions.md shows them in one table; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from enum import StrEnum

from tournee.kernel.actor import Permission


class Role(StrEnum):
    """What an account is for."""

    TECHNICIAN = "TECHNICIAN"
    """Works in the field. Sees their own visits and what belongs to them."""
    DISPATCHER = "DISPATCHER"
    """Plans visits and sends technicians. Sees the whole organisation."""
    MANAGER = "MANAGER"
    """Runs the organisation: accounts, devices, catalogues and every decision."""
    AUDITOR = "AUDITOR"
    """Plans and performs audits. Sees the whole organisation."""
    CUSTOMER_PORTAL = "CUSTOMER_PORTAL"
    """A customer's own access. Sees that customer's sites, assets and work."""
    REPORTING = "REPORTING"
    """Reads for reports and changes nothing."""


# These see their whole organisation; others see only the scopes they hold.
OFFICE = frozenset({Role.DISPATCHER, Role.MANAGER, Role.AUDITOR, Role.REPORTING})
EVERYBODY = frozenset(Role)
# Everybody who works for the organisation, in the office or in the field.
STAFF = EVERYBODY - {Role.CUSTOMER_PORTAL}
PLANNERS = frozenset({Role.DISPATCHER, Role.MANAGER})

_HELD: dict[Role, frozenset[Permission]] = {role: frozenset() for role in Role}
_DECIDED: set[Permission] = set()


def permission(name: str, description: str, held_by: AbstractSet[Role]) -> Permission:
    """Declare a permission of a domain: what it allows, and which roles hold it."""
    return grant(Permission(name, description), held_by)


def grant(declared: Permission, held_by: AbstractSet[Role]) -> Permission:
    """Decide, once, which roles hold a permission."""
    if declared in _DECIDED:
        raise TypeError(f"The roles that hold {declared} are decided twice.")
    _DECIDED.add(declared)
    for role in held_by:
        _HELD[role] |= {declared}
    return declared


def permissions_of(role: Role) -> frozenset[Permission]:
    """Return the permissions that a role holds."""
    return _HELD[role]


def require_decisions() -> None:
    """Raise unless it was decided for every permission which roles hold it; called once all are declared."""
    if missing := Permission.declared.keys() - _DECIDED:
        raise TypeError(f"Nobody decided which roles hold: {', '.join(sorted(missing))}.")
