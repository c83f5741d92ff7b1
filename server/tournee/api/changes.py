"""The change log in GraphQL: its type, and the cursor from which a subscription resumes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import orjson
import strawberry
from sqlalchemy import select
from strawberry.scalars import JSON
from strawberry.types.field import StrawberryField

from tournee.api.connections import add_fields, connection_type, list_arguments, object_type
from tournee.api.context import Info
from tournee.api.errors import InvalidCursor
from tournee.api.mapping import Column, Listing, make_field
from tournee.api.nodes import Nodes
from tournee.api.queries import listing
from tournee.api.scalars import Long, optional
from tournee.kernel.log import Change, Record
from tournee.kernel.sentences import sentences
from tournee.kernel.times import is_implausible
from tournee.kernel.withheld import without
from tournee.sync.permissions import CHANGES_READ
from tournee.sync.pull.cursor import Cursor
from tournee.sync.pull.logged import Seen, after_change
from tournee.sync.pull.position import read_position, write_position


def decode(text: str) -> Cursor:
    """Read a cursor; raises InvalidCursor."""
    try:
        return read_position(text)
    except ValueError:
        raise InvalidCursor from None


async def _id(root: Any, info: Info) -> UUID:
    """The id of this change. No record and no other change has the same."""
    epoch = root.place.epoch if isinstance(root, Seen) else await info.context.load.epoch()
    # A person who is given records may receive several under one number.
    return uuid5(epoch, f"{root.seq}/{root.id}")


async def _cursor(root: Any, info: Info) -> str:
    """Subscribe with this as `since` to get what came after."""
    if isinstance(root, Seen):
        return write_position(root.place)
    return write_position(after_change(await info.context.load.epoch(), root))


def _removed(root: Any) -> bool:
    """Whether this change removed the record: it was deleted, or you may no longer see it."""
    if isinstance(root, Seen) and root.command is None:
        return root.document is None
    return bool((_parsed(root.after) or {}).get("deleted"))


def _clock_suspect(root: Any) -> bool | None:
    """Whether `occurredAt` cannot be right, compared with `recordedAt`; null if these are."""
    if root.occurred_at is None:
        return None
    return is_implausible(root.occurred_at, root.recorded_at)


async def _record(root: Any, info: Info) -> Any:
    """The record as it is now, in the form that devices get; null if it was removed."""
    if isinstance(root, Seen):
        return _read(root.document, root, info)
    found = await info.context.load.related(
        "document",
        root.id,
        lambda ids: select(Record.id, Record.document).where(Record.id.in_(ids), Record.deleted.is_(False)),
    )
    return _read(found[0], root, info) if found else None


def _fields(root: Any, info: Info) -> Any:
    """The names of the fields that changed."""
    names = _parsed(root.fields if root.before is not None else root.after)
    return without(info.context.actor, root.entity, names and list(names))


def _before(root: Any, info: Info) -> Any:
    """Their values before; null for a new record."""
    return _read(root.before, root, info)


def _after(root: Any, info: Info) -> Any:
    """Their values after."""
    return _read(root.after, root, info)


def _read(text: str | None, root: Any, info: Info) -> Any:
    return without(info.context.actor, root.entity, _parsed(text))


def _parsed(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


_PLAIN = {
    "seq": (Long, "seq"),
    "entity": (str, "entity"),
    "recordId": (strawberry.ID, "id"),
    "command": (optional(str), "command"),
    "actorId": (optional(strawberry.ID), "actor_id"),
    "deviceId": (optional(strawberry.ID), "device_id"),
    "operationId": (optional(strawberry.ID), "operation_id"),
    "occurredAt": (optional(datetime), "occurred_at"),
    "recordedAt": (optional(datetime), "recorded_at"),
}
_MADE: dict[str, tuple[Any, Any]] = {
    "id": (strawberry.ID, _id),
    "cursor": (str, _cursor),
    "removed": (bool, _removed),
    "clockSuspect": (optional(bool), _clock_suspect),
    "record": (optional(JSON), _record),
    "fields": (optional(list[str]), _fields),
    "before": (optional(JSON), _before),
    "after": (optional(JSON), _after),
}


def declare_changes(nodes: Nodes) -> None:
    """Declare the type Change and its connection."""
    permission, said = CHANGES_READ, sentences(Change)
    kind = object_type("Change", "One change of one record: who changed which fields, when, by what command.")
    for name, (annotation, attribute) in _PLAIN.items():
        source = Column(Change, attribute)
        made = make_field(
            name, annotation, permission, python_name=attribute, source=source, description=said[attribute]
        )
        add_fields(kind, made)
    for name, (annotation, resolver) in _MADE.items():
        made = make_field(name, annotation, permission, resolver=resolver, description=resolver.__doc__)
        add_fields(kind, made)
    nodes.types[Change] = kind
    nodes.connections[Change] = connection_type(kind, "Change", permission)


def change_fields(nodes: Nodes) -> Iterable[StrawberryField]:
    """Return `changes(…)`: the log, for office roles."""
    yield make_field(
        "changes",
        nodes.connections[Change],
        CHANGES_READ,
        source=Listing(Change),
        resolver=listing(Change),
        arguments=list_arguments(Change),
        description="The log of all changes, without those that were archived; empty for accounts that do not"
        " see the whole organisation.",
    )
