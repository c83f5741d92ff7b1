"""Who asks: the account, its role and what it may do."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

import strawberry
from sqlalchemy import select
from strawberry.types.field import StrawberryField

from tournee.api.connections import add_fields, object_type
from tournee.api.context import Info
from tournee.api.load import readable
from tournee.api.mapping import make_field
from tournee.api.nodes import Nodes
from tournee.api.scalars import enumeration, optional
from tournee.auth.models import Account
from tournee.auth.permissions import ACCOUNT_SELF
from tournee.auth.roles import Role
from tournee.kernel.actor import Actor
from tournee.kernel.entity import Organisation
from tournee.people.models import Technician
from tournee.people.permissions import PEOPLE_READ


def _organisation_type() -> type[Any]:
    own = ACCOUNT_SELF
    kind = object_type(
        "Organisation", "An organisation. Its records never refer to those of another organisation."
    )
    add_fields(
        kind,
        make_field("id", strawberry.ID, own, description="The same in every record of the organisation."),
        make_field("name", str, own, description="What the organisation calls itself."),
        make_field("timeZone", str, own, python_name="time_zone", description=_ZONE),
    )
    return kind


def me_field(nodes: Nodes) -> StrawberryField:
    """`me`."""
    own = ACCOUNT_SELF
    kind = object_type("Me", "The account that asks.")
    add_fields(
        kind,
        make_field("id", strawberry.ID, own, resolver=_id, description=_ID),
        make_field("accountId", strawberry.ID, own, python_name="id", description="The account's id."),
        make_field("name", str, own, resolver=_name, description="The account's name, as others see it."),
        make_field(
            "email",
            str,
            own,
            resolver=_email,
            description="The e-mail address that signs in to this account.",
        ),
        make_field(
            "technician",
            optional(nodes.types[Technician]),
            PEOPLE_READ,
            resolver=_technician,
            description="The technician who signs in with this account; null if it is not a technician's.",
        ),
        make_field("role", enumeration(Role), own, description="The account's role."),
        make_field("scopes", list[str], own, resolver=_scopes, description="What the role may do."),
        make_field("seesAll", bool, own, python_name="sees_all", description=_SEES_ALL),
        make_field(
            "organisation",
            _organisation_type(),
            own,
            resolver=_organisation,
            description="The organisation that the account belongs to.",
        ),
    )
    return make_field("me", kind, own, resolver=_me, description="Who asks.")


_ID = "An id for client caches, different from the account's: that is `accountId`."
_ZONE = "The IANA name of the organisation's time zone, such as `Europe/Paris`."
_SEES_ALL = "Whether it sees the whole organisation, or only the records in its own scopes."


def _me(info: Info) -> Any:
    return info.context.actor


def _id(root: Actor) -> UUID:
    """Return an id that no `Account` has: Relay's cache tells objects apart by their ids alone."""
    return uuid5(root.id, "me")


async def _account(root: Actor, info: Info) -> tuple[str, str]:
    found = await info.context.load.related(
        "own account",
        root.id,
        lambda ids: select(Account.id, Account.name, Account.email).where(Account.id.in_(ids)),
    )
    name, email = found[0]
    return name, email


async def _name(root: Actor, info: Info) -> str:
    return (await _account(root, info))[0]


async def _email(root: Actor, info: Info) -> str:
    return (await _account(root, info))[1]


async def _technician(root: Actor, info: Info) -> Any:
    seen = readable(Technician, root)
    found = await info.context.load.related(
        "technician of an account",
        root.id,
        lambda ids: select(Technician.account_id, Technician).where(seen, Technician.account_id.in_(ids)),
    )
    return found[0] if found else None


def _scopes(root: Actor) -> list[str]:
    return sorted(str(permission) for permission in root.permissions)


async def _organisation(root: Actor, info: Info) -> Any:
    rows = await info.context.load.rows(select(Organisation).where(Organisation.id == root.organisation_id))
    return rows[0]
