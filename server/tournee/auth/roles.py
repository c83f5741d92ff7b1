"""Roles and what each may do. A token carries the role; the scopes follow from this table."""

from __future__ import annotations

from enum import StrEnum

from tournee.kernel.actor import Scope


class Role(StrEnum):
    """What an account is for."""

    TECHNICIAN = "TECHNICIAN"
    DISPATCHER = "DISPATCHER"
    MANAGER = "MANAGER"
    AUDITOR = "AUDITOR"
    CUSTOMER_PORTAL = "CUSTOMER_PORTAL"
    REPORTING = "REPORTING"


_READ_ALL = frozenset(
    scope for scope in Scope if scope.endswith(":read") and scope is not Scope.ACCOUNTS_READ
)
_OWN = frozenset({Scope.ACCOUNT_SELF, Scope.CHANGES_READ})
# What happens on a visit and is our own: where technicians were and when, how they spent their time.
_STAFF = frozenset({Scope.WORK_INTERNAL})
# Who sees only what lies in their scopes sees only their own account and devices.
_OWN_RECORDS = frozenset({Scope.ACCOUNTS_READ, Scope.DEVICES_READ})

SCOPES: dict[Role, frozenset[Scope]] = {
    Role.TECHNICIAN: _OWN
    | _OWN_RECORDS
    | _STAFF
    | {
        Scope.ASSETS_READ,
        Scope.ASSETS_WRITE,
        Scope.AUDITS_PERFORM,
        Scope.CONFLICTS_READ,
        Scope.CUSTOMERS_READ,
        Scope.PEOPLE_READ,
        Scope.PROCEDURES_READ,
        Scope.QUALITY_READ,
        Scope.STOCK_READ,
        Scope.STOCK_WRITE,
        Scope.WORK_READ,
        Scope.WORK_WRITE,
    },
    Role.DISPATCHER: _OWN
    | _READ_ALL
    | _STAFF
    | {
        Scope.ASSETS_WRITE,
        Scope.CONFLICTS_WRITE,
        Scope.CUSTOMERS_WRITE,
        Scope.PEOPLE_WRITE,
        Scope.STOCK_MANAGE,
        Scope.STOCK_WRITE,
        Scope.WORK_PLAN,
        Scope.WORK_WRITE,
    },
    Role.MANAGER: frozenset(Scope),
    Role.AUDITOR: _OWN
    | _READ_ALL
    | _STAFF
    | {Scope.AUDITS_PERFORM, Scope.CONFLICTS_WRITE, Scope.PROCEDURES_WRITE, Scope.QUALITY_WRITE},
    Role.CUSTOMER_PORTAL: _OWN | _OWN_RECORDS | {Scope.ASSETS_READ, Scope.CUSTOMERS_READ, Scope.WORK_READ},
    Role.REPORTING: _OWN | _READ_ALL | _STAFF,
}

# Everybody else sees only what lies in the scopes they hold.
OFFICE = frozenset({Role.DISPATCHER, Role.MANAGER, Role.AUDITOR, Role.REPORTING})
