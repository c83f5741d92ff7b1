"""The merge history of a record: each change, field by field, with its author and its conflicts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from dataclasses import fields as fields_of
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
import strawberry
from sqlalchemy import or_, select
from strawberry.types.field import StrawberryField

from tournee.api.connections import add_fields, page_arguments
from tournee.api.context import Info
from tournee.api.errors import Rejected
from tournee.api.keyset import OrderDirection
from tournee.api.mapping import argument, make_field
from tournee.api.nodes import Nodes
from tournee.api.pages import Arguments, Page
from tournee.api.scalars import describe, optional, parse_id
from tournee.api.values import value_type
from tournee.auth.models import Account, Device
from tournee.auth.organisations import name_without_account
from tournee.kernel.archived import ArchivedChanges
from tournee.kernel.conflict import Conflict
from tournee.kernel.fields import Merge, fields
from tournee.kernel.log import Change, Record, Seq
from tournee.kernel.registry import BY_NAME
from tournee.sync.models import Receipt
from tournee.sync.permissions import HISTORY_READ

_MERGED = ("merged", "superseded")


@dataclass(frozen=True)
class FieldChange:
    """What a change did to one field."""

    field: str
    """The field's name."""
    policy: Annotated[Merge | None, "How the field merges; null for the mark `deleted`."]
    before: Any | None
    """Its value before; null for a new record, too."""
    after: Any | None
    """Its value after."""


@dataclass(frozen=True)
class ChangesArchive:
    """A file with old entries of the log, which are in the database no more. The operator of the server has
    it.
    """

    file: str
    """The file's name, without a folder."""
    first_seq: Seq
    """The number of its first entry."""
    last_seq: Seq
    """The number of its last entry."""
    recorded_from: datetime
    """When the server received the first."""
    recorded_until: datetime
    """When the server received the last."""
    archived_at: datetime
    """When the entries were archived."""


_ONE_FIELD = strawberry.argument(description="Only the change of this field; null for all.")


def _field_changes(root: Any, field: Annotated[str | None, _ONE_FIELD] = None) -> list[FieldChange]:
    """The changes, field by field; with `field`, only of that field."""
    if root.after is None:
        return []
    before, after = orjson.loads(root.before or "{}"), orjson.loads(root.after)
    policies = {one.wire: one.merge for one in fields(BY_NAME[root.entity])}
    return [
        FieldChange(name, policies.get(name), before.get(name), value)
        for name, value in after.items()
        if field in (name, None)
    ]


async def _actor(root: Any, info: Info) -> Any:
    """Who made it."""
    return await info.context.load.person(root.actor_id)


async def _device(root: Any, info: Info) -> Any:
    """On which device."""
    return await info.context.load.one(Device, root.device_id)


async def _actor_name(root: Any, info: Info) -> str | None:
    """The name of the account that made it, even for people who may not read accounts.

    Without an account it is `Operator` (the command line on the server), `Import` or `Server`.
    """
    name = await _name(info, Account, root.actor_id)
    return name or name_without_account(info.context.actor.organisation_id, root.actor_id)


async def _device_name(root: Any, info: Info) -> str | None:
    """The name of the device it was made on; null online."""
    return await _name(info, Device, root.device_id)


async def _name(info: Info, model: type[Account | Device], id: UUID | None) -> str | None:
    if id is None:
        return None
    found = await info.context.load.related(
        f"name of {model.__name__}",
        id,
        lambda ids: select(model.id, model.name).where(model.id.in_(ids)),
    )
    return found[0] if found else None


async def _outcome(root: Any, info: Info) -> str | None:
    """The outcome that the device received: `applied`, `merged`, `superseded`; null online."""
    if root.operation_id is None:
        return None
    found = await info.context.load.related(
        "outcome of an operation",
        root.operation_id,
        lambda ids: select(Receipt.operation_id, Receipt.status).where(Receipt.operation_id.in_(ids)),
    )
    return found[0] if found else None


async def _merged(root: Any, info: Info) -> bool:
    """Whether it met changes of others that the device had not seen."""
    return await _outcome(root, info) in _MERGED


async def _conflict(root: Any, info: Info) -> Conflict | None:
    """The conflict that it belongs to: as the device's side, the other side, or the decision."""
    found = await info.context.load.related(
        "conflicts about a record",
        root.id,
        lambda ids: (
            select(Conflict.record_id, Conflict)
            .where(Conflict.record_id.in_(ids))
            .order_by(Conflict.id.desc())
        ),
    )
    return next((conflict for conflict in found if _has_part(root, conflict)), None)


def _has_part(change: Any, conflict: Conflict) -> bool:
    if change.operation_id is not None:
        if change.operation_id == conflict.resolution_operation_id:
            return True
        if str(change.operation_id) in conflict.operation_ids:
            return True
    if change.actor_id != conflict.their_actor_id or change.recorded_at > conflict.created_at:
        return False
    after = orjson.loads(change.after or "{}")
    return any(name in after and after[name] == value for name, value in conflict.theirs.items())


async def _archives(root: Page, info: Info) -> list[ChangesArchive]:
    """The files that hold earlier entries of the log, newest first. In the history of one record, those that
    may hold entries about it: the record is older than their last entry. Empty unless you see the whole
    organisation.
    """
    if not info.context.actor.sees_all:
        return []
    columns = [getattr(ArchivedChanges, one.name) for one in fields_of(ChangesArchive)]
    rows = await info.context.load.values(
        select(*columns)
        .where(ArchivedChanges.archived_at.is_not(None), ArchivedChanges.last_seq >= root.created)
        .order_by(ArchivedChanges.last_seq.desc())
    )
    return [ChangesArchive(*row) for row in rows]


def complete_changes(nodes: Nodes) -> None:
    """Add what the log shows of a change beside its columns, once the types involved exist."""
    permission = HISTORY_READ
    changes: Any = list[value_type(FieldChange, permission)]  # type: ignore[misc]
    made: list[tuple[str, Any, Any, str]] = [
        ("fieldChanges", changes, _field_changes, permission),
        ("outcome", optional(str), _outcome, permission),
        ("merged", bool, _merged, permission),
        ("actorName", optional(str), _actor_name, permission),
        ("deviceName", optional(str), _device_name, permission),
    ]
    for name, model, resolver in (
        ("actor", Account, _actor),
        ("device", Device, _device),
        ("conflict", Conflict, _conflict),
    ):
        if model in nodes.types:
            needed = permission if model is Account else model.reads
            made.append((name, optional(nodes.types[model]), resolver, needed))
    archives: Any = list[value_type(ChangesArchive, permission)]  # type: ignore[misc]
    add_fields(
        nodes.connections[Change],
        make_field("archives", archives, permission, resolver=_archives, description=describe(_archives)),
    )
    for name, annotation, resolver, needed in made:
        add_fields(
            nodes.types[Change],
            make_field(name, annotation, needed, resolver=resolver, description=describe(resolver)),
        )


def history_fields(nodes: Nodes) -> Iterable[StrawberryField]:
    """Return `history(id:, field:)`."""
    yield make_field(
        "history",
        optional(nodes.connections[Change]),
        HISTORY_READ,
        resolver=_history,
        arguments=[
            argument("id", strawberry.ID, "The record's id."),
            argument("field", optional(str), "Only the changes of this field; `deleted` is one too."),
            *page_arguments(),
        ],
        description="The history of a record, deleted or not, newest first; null if you may not see it."
        " `archives` names the files that may hold earlier entries.",
    )


async def _history(info: Info, id: str, field: str | None = None, **page: Any) -> Page | None:
    record = await _record(info, parse_id(id))
    if record is None:
        return None
    entity, created = record
    condition = Change.id == parse_id(id)
    if field is not None:
        if field not in {"deleted", *(one.wire for one in fields(BY_NAME[entity]))}:
            raise Rejected(f"{entity} has no field of this name.")
        # The column is a JSON list of names; searching with the quotes finds only whole names.
        changed = Change.fields.contains(f'"{field}"', autoescape=True)
        condition &= changed if field == "deleted" else or_(changed, Change.before.is_(None))
    arguments = Arguments.of(Change, {**page, "orderBy": [{"seq": OrderDirection.DESC}]})
    return replace(await info.context.load.page(Change, arguments, condition), created=created)


async def _record(info: Info, id: UUID | None) -> tuple[str, int] | None:
    """Return the type of the record and the number of its creation, if the actor may see it, or could before
    it was deleted.
    """
    actor = info.context.actor
    if id is None or not actor.sees_all:
        return None
    found = await info.context.load.related(
        "type and clock of a record",
        id,
        lambda ids: select(Record.id, Record.entity, Record.clock).where(Record.id.in_(ids)),
    )
    if not found or not actor.may(BY_NAME[found[0][0]].reads):
        return None
    entity, clock = found[0]
    return entity, orjson.loads(clock)["*"][0]
