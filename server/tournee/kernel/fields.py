"""The fields of an entity: name, type, limits and merge policy, read once from its columns.

Documents, inputs, GraphQL types and the sync contract all come from this list, so a field is described in one
place: its column.
"""

from __future__ import annotations

import enum
import types
import typing
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_origin

from sqlalchemy import ForeignKeyConstraint, Index, String, Uuid
from sqlalchemy.orm import MappedColumn, mapped_column

from tournee.kernel.sentences import sentences
from tournee.kernel.times import TimeSource

if typing.TYPE_CHECKING:
    from tournee.kernel.entity import Entity


class Merge(enum.StrEnum):
    """What happens to an edit of a field that somebody else changed since the device last saw it."""

    LAST_ARRIVAL = "LAST_ARRIVAL"
    """The value that arrives last stands."""
    FIRST_WINS = "FIRST_WINS"
    """The first value stays; later ones are set aside."""
    SERVER_ONLY = "SERVER_ONLY"
    """Only the server sets it."""
    MAX = "MAX"
    """The greater value stands."""
    MIN = "MIN"
    """The smaller value stands."""
    SET_UNION = "SET_UNION"
    """Additions and removals of both sides count."""
    APPEND_ONLY = "APPEND_ONLY"
    """Set when the record is made, and never changed."""
    STATE_MACHINE = "STATE_MACHINE"
    """Changed by commands only, along the allowed steps."""
    LEDGER = "LEDGER"
    """Set when the record is made; a correction is another record."""
    REVIEW = "REVIEW"
    """Both values are kept, and a person decides."""


class EditedBy(enum.Enum):
    """Who may change a field by a plain edit that the office and the field share."""

    OFFICE_ALONE = "OFFICE_ALONE"
    """The office. The field can't set it in a new record either."""
    OFFICE = "OFFICE"
    """The office. In the field, a person sets it in a record that they create, until the office plans it."""
    FIELD = "FIELD"
    """The office and the field."""


# Fields under these policies are never set by a plain edit, only by commands of their own.
NOT_EDITABLE = frozenset({Merge.SERVER_ONLY, Merge.STATE_MACHINE, Merge.LEDGER, Merge.APPEND_ONLY})


@dataclass(frozen=True)
class Field:
    """One public field of an entity. `limit` is the greatest length of a string, in characters."""

    name: str
    wire: str
    type: Any
    nullable: bool
    limit: int | None
    merge: Merge
    references: str | None
    description: str | None
    has_default: bool
    minimum: float | None
    maximum: float | None
    # The permission that a reader needs besides that of the record.
    permission: str | None = None
    # For times only: every such column declares it, and a test requires that.
    time_source: TimeSource | None = None
    # For plain fields of an entity whose edit command office and field share.
    edited_by: EditedBy | None = None
    # For text and JSON: the type of the value, or of each entry of a list, that is stored as that.
    of: Any = None

    @property
    def editable(self) -> bool:
        return self.merge not in NOT_EDITABLE


@cache
def camel(name: str) -> str:
    """`starts_at` → `startsAt`."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def column(
    limit: int | None = None,
    *,
    merge: Merge = Merge.LAST_ARRIVAL,
    private: bool = False,
    description: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    permission: str | None = None,
    time_source: TimeSource | None = None,
    edited_by: EditedBy | None = None,
    of: Any = None,
    **options: Any,
) -> MappedColumn[Any]:
    """Make a column, with what the rest of the server must know about it.

    `private` columns never leave the server. `permission` is what its readers need in addition to the
    record's. `time_source` says where its times come from. `edited_by` says who may change it, where the
    office and the field share the plain edit. `of` is the type of the value, or of a list's entries, where
    the column holds text: `of=UUID` for a list of ids.
    """
    info = {
        "merge": merge,
        "private": private,
        "description": description,
        "minimum": minimum,
        "maximum": maximum,
        "permission": permission,
        "time_source": time_source,
        "edited_by": edited_by,
        "of": of,
    }
    if limit is None:
        return mapped_column(info=info, **options)
    return mapped_column(String(limit), info=info, **options)


def reference(
    table: str,
    *,
    merge: Merge = Merge.LAST_ARRIVAL,
    description: str | None = None,
    edited_by: EditedBy | None = None,
    **options: Any,
) -> MappedColumn[Any]:
    """Make a column that names a row of another entity in the same organisation."""
    info = {
        "merge": merge,
        "private": False,
        "description": description,
        "references": table,
        "edited_by": edited_by,
    }
    return mapped_column(Uuid, info=info, **options)


def constrain_references(model: type[Entity]) -> None:
    """Give every reference a foreign key, which includes the organisation, and an index.

    The keys are deferred, since the rows of one push are written in no particular order.
    """
    table = typing.cast(Any, model.__table__)
    for own in list(table.columns):
        target = own.info.get("references")
        if target is None:
            continue
        table.append_constraint(
            ForeignKeyConstraint(
                [table.c.organisation_id, own],
                [f"{target}.organisation_id", f"{target}.id"],
                name=f"fk_{table.name}_{own.name}",
                deferrable=True,
                initially="DEFERRED",
            )
        )
        Index(f"ix_{table.name}_{own.name}", table.c.organisation_id, own)


_RESERVED = frozenset({"organisation_id", "deleted"})


def _plain(annotation: Any) -> tuple[Any, bool]:
    """`str | None` → (str, True)."""
    if get_origin(annotation) in (typing.Union, types.UnionType):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        return inner[0], len(inner) < len(get_args(annotation))
    return annotation, False


_KNOWN: dict[type[Any], tuple[Field, ...]] = {}


def fields(model: type[Any]) -> tuple[Field, ...]:
    """Return the public fields of an entity, in the order of their declaration."""
    if model not in _KNOWN:
        _KNOWN[model] = tuple(_read_fields(model))
    return _KNOWN[model]


def _read_fields(model: type[Any]) -> list[Field]:
    hints = typing.get_type_hints(model, include_extras=True)
    found = []
    for attribute in model.__mapper__.column_attrs:
        own = attribute.columns[0]
        if attribute.key in _RESERVED or own.info.get("private"):
            continue
        kind, nullable = _plain(get_args(hints[attribute.key])[0])
        found.append(
            Field(
                name=attribute.key,
                wire=own.info.get("wire") or camel(attribute.key),
                type=kind,
                nullable=nullable,
                limit=getattr(own.type, "length", None) if kind is str else None,
                merge=own.info.get("merge", Merge.SERVER_ONLY),
                references=own.info.get("references"),
                description=own.info.get("description") or sentences(model).get(attribute.key),
                has_default=own.default is not None or own.server_default is not None,
                minimum=own.info.get("minimum"),
                maximum=own.info.get("maximum"),
                permission=own.info.get("permission"),
                time_source=own.info.get("time_source"),
                edited_by=own.info.get("edited_by"),
                of=own.info.get("of"),
            )
        )
    return found


@cache
def device_times(model: Any) -> tuple[Field, ...]:
    """Return the fields that hold times which a device's clock gave."""
    return tuple(field for field in fields(model) if field.time_source is TimeSource.DEVICE)


@cache
def field_named(model: Any, name: str) -> Field:
    return next(field for field in fields(model) if field.name == name)
