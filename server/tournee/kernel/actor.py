"""The actor: an account, its organisation, its permissions and its visibility."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from tournee.kernel.declared import Declared
from tournee.kernel.errors import Forbidden


class Permission(Declared):
    """What an access token allows, such as `work:read`. Each field of the API and each command needs one.

    A domain declares its own in its `permissions.py`, and decides there which roles hold each of them.
    """


# Organisation and account.
AccountKey: TypeAlias = tuple[UUID, UUID]


@dataclass(frozen=True)
class Actor:
    """An account, as its token describes it.

    `sees_all` is true for office roles, which see their whole organisation; all others see the records in the
    scopes they are a member of. `session_id` names the sign-in that issued the token, if there was one.
    """

    id: UUID
    organisation_id: UUID
    role: str
    permissions: frozenset[Permission]
    sees_all: bool
    device_id: UUID | None = None
    session_id: UUID | None = None

    @classmethod
    def server(cls, organisation_id: UUID, *permissions: Permission) -> Actor:
        """Return the server itself, for its jobs; the log names the organisation as the actor."""
        return cls(organisation_id, organisation_id, "SYSTEM", frozenset(permissions), sees_all=True)

    @property
    def key(self) -> AccountKey:
        """The key for what memory keeps about this account. It includes the organisation: clients make ids,
        and two organisations may use the same one.
        """
        return self.organisation_id, self.id

    def may(self, permission: str) -> bool:
        return permission in self.permissions

    def require(self, permission: str) -> None:
        """Raise Forbidden unless the actor holds the permission."""
        if not self.may(permission):
            raise Forbidden(lacks(permission))


def lacks(permission: str) -> str:
    """Return the refusal for an actor without this permission."""
    return f"This needs the permission {permission}."
