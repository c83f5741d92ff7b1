"""The version of a record, when it last changed and by whom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import and_, select
from strawberry.types.field import StrawberryField

from tournee.api.connections import add_fields, object_type
from tournee.api.context import Info
from tournee.api.load import NAME_ALONE, NamedAccount
from tournee.api.mapping import Person, Recorded, make_field
from tournee.api.scalars import Long, describe, optional
from tournee.auth.models import Account
from tournee.auth.permissions import ACCOUNT_SELF
from tournee.kernel.entity import Entity
from tournee.kernel.errors import Forbidden
from tournee.kernel.log import Change, Record


class Version(NamedTuple):
    """A record's last change. Its time and its account are None if the log entry was archived."""

    number: int
    at: datetime | None
    actor_id: UUID | None


async def version_of(info: Info, row: Any) -> Version:
    """Return the version of a row that the actor sees."""
    if isinstance(row, NamedAccount):
        raise Forbidden(NAME_ALONE)
    same = and_(Change.organisation_id == Record.organisation_id, Change.seq == Record.seq)
    found = await info.context.load.related(
        "version",
        row.id,
        lambda ids: (
            select(Record.id, Record.seq, Change.recorded_at, Change.actor_id)
            .outerjoin(Change, same)
            .where(Record.id.in_(ids))
        ),
    )
    return Version(*found[0])


async def _version(root: Any, info: Info) -> int:
    """A number that grows with each change; commands take it as `expectedVersion`."""
    return (await version_of(info, root)).number


async def _updated_at(root: Any, info: Info) -> datetime | None:
    """When the server received the last change; null if its log entry was archived."""
    return (await version_of(info, root)).at


async def _updated_by(root: Any, info: Info) -> Any:
    """The account that made the last change; null if the server did, or if its log entry was archived."""
    return await info.context.load.person((await version_of(info, root)).actor_id)


def version_fields(entity: type[Entity], account: Any) -> Iterable[StrawberryField]:
    """Return `version`, `updatedAt` and `updatedBy` of an entity's type."""
    for name, annotation, source, resolver in (
        ("version", Long, Recorded(Record, "seq"), _version),
        ("updatedAt", optional(datetime), Recorded(Change, "recorded_at"), _updated_at),
        ("updatedBy", optional(account), Person(Change, "actor_id", Account), _updated_by),
    ):
        yield make_field(
            name, annotation, entity.reads, source=source, resolver=resolver, description=describe(resolver)
        )


class Current(NamedTuple):
    """A record as it is now, for a client that tried to change an older version."""

    row: Any


def _row(root: Current) -> Any:
    """The record as it is now."""
    return root.row


def _of_row(resolver: Callable[[Any, Info], Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def resolve(root: Current, info: Info) -> Any:
        return await resolver(root.row, info)

    return resolve


def current_type(account: Any, node: Any) -> Any:
    """Make the type in which a refusal shows a record that somebody else changed in the meantime."""
    kind = object_type("Current", "A record as it is now, and who changed it last.", rows=Current)
    for name, annotation, resolver in (
        ("version", Long, _version),
        ("updatedAt", optional(datetime), _updated_at),
        ("updatedBy", optional(account), _updated_by),
    ):
        of_row = _of_row(resolver)
        text = describe(resolver)
        add_fields(kind, make_field(name, annotation, ACCOUNT_SELF, resolver=of_row, description=text))
    add_fields(kind, make_field("record", node, ACCOUNT_SELF, resolver=_row, description=describe(_row)))
    return kind
