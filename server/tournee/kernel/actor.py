"""Who acts: the account, its organisation, what it may do and how it sees."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from tournee.kernel.errors import Forbidden


class Scope(StrEnum):
    """What an access token allows; each field of the API and each command names one."""

    ACCOUNT_SELF = "account:self"
    ACCOUNTS_READ = "accounts:read"
    ACCOUNTS_WRITE = "accounts:write"
    ASSETS_READ = "assets:read"
    ASSETS_WRITE = "assets:write"
    AUDITS_PERFORM = "audits:perform"
    CHANGES_READ = "changes:read"
    CONFLICTS_READ = "conflicts:read"
    CONFLICTS_WRITE = "conflicts:write"
    CUSTOMERS_READ = "customers:read"
    CUSTOMERS_WRITE = "customers:write"
    DEVICES_READ = "devices:read"
    DEVICES_WRITE = "devices:write"
    HISTORY_READ = "history:read"
    PEOPLE_READ = "people:read"
    PEOPLE_WRITE = "people:write"
    PROCEDURES_READ = "procedures:read"
    PROCEDURES_WRITE = "procedures:write"
    QUALITY_READ = "quality:read"
    QUALITY_WRITE = "quality:write"
    SIGHT_READ = "sight:read"
    STOCK_MANAGE = "stock:manage"
    STOCK_READ = "stock:read"
    STOCK_WRITE = "stock:write"
    WORK_INTERNAL = "work:internal"
    WORK_PLAN = "work:plan"
    WORK_READ = "work:read"
    WORK_WRITE = "work:write"


# Organisation and account.
AccountKey: TypeAlias = tuple[UUID, UUID]


@dataclass(frozen=True)
class Actor:
    """An account as its token describes it.

    `sees_all` is true for office roles, which see their whole organisation; everybody else sees
    the records in the scopes they are a member of. `session_id` names the sign-in that the token
    comes from, where it comes from one.
    """

    id: UUID
    organisation_id: UUID
    role: str
    scopes: frozenset[Scope]
    sees_all: bool
    device_id: UUID | None = None
    session_id: UUID | None = None

    @property
    def key(self) -> AccountKey:
        """The account as memory names it: ids are made by clients, and two organisations may use the same."""
        return self.organisation_id, self.id

    def may(self, scope: str) -> bool:
        return scope in self.scopes

    def require(self, scope: str) -> None:
        """Raise Forbidden unless the actor holds the scope."""
        if not self.may(scope):
            raise Forbidden(lacks(scope))


def lacks(scope: str) -> str:
    """The sentence for who does not hold the scope."""
    return f"This needs the scope {scope}."
