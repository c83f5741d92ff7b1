"""What the fields of a row hold: as rules read it, as documents say it, and as a new row begins."""

from __future__ import annotations

import enum
import typing
from collections.abc import Collection, Mapping
from datetime import date, datetime
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import JSON
from sqlalchemy.orm.attributes import instance_state

from tournee.kernel.errors import Invalid
from tournee.kernel.fields import Field, camel, fields

if typing.TYPE_CHECKING:
    from tournee.kernel.entity import Entity

ModelT = TypeVar("ModelT")


@cache
def _needed_texts(model: type[Any]) -> tuple[Field, ...]:
    """A name, a title, a number: short texts that a row cannot be without. A unit may be nothing."""
    return tuple(
        field
        for field in fields(model)
        if field.type is str
        and field.limit is not None
        and not (field.nullable or field.has_default or field.name == "unit")
    )


def check_texts(row: Entity, changed: Mapping[str, Any]) -> None:
    """Raise Invalid where a text that is needed says nothing from now on; `changed` is by wire name."""
    for field in _needed_texts(type(row)):
        if field.wire in changed and not (changed[field.wire] or "").strip():
            raise Invalid("This must not be blank.", field.wire)


# The types of most values, which need no conversion: looking up the type is all they cost.
_AS_THEY_ARE = frozenset({str, int, float, bool, type(None), list, dict})


def wire_value(value: Any) -> Any:
    """A value as it stands in documents: ids and times as text, everything else as JSON has it."""
    if type(value) in _AS_THEY_ARE:
        return value
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, datetime):
        return wire_time(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return value.value
    return value


def wire_time(value: datetime) -> str:
    """UTC, ISO 8601, `Z` at the end; microseconds only where there are any."""
    return value.isoformat().replace("+00:00", "Z")


def values(row: Entity) -> dict[str, Any]:
    """The public fields of a row and their values."""
    names = _names(type(row))
    if instance_state(row).expired_attributes:
        return {name: getattr(row, name) for name in names}
    # Bypass the instrumented attributes, which take ten times as long.
    return dict(zip(names, map(vars(row).get, names), strict=True))


@cache
def wire_names(model: type[Any]) -> tuple[str, ...]:
    """The names of all fields outside, in the order of `fields`."""
    return tuple(field.wire for field in fields(model))


@cache
def _names(model: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(model))


def present(row: Entity, names: Collection[str]) -> dict[str, Any]:
    """What these fields hold, by wire name; names that are no fields are passed over."""
    found = {one.wire: wire_value(getattr(row, one.name)) for one in fields(type(row)) if one.wire in names}
    return found | ({"deleted": row.deleted} if "deleted" in names else {})


def document(row: Entity) -> dict[str, Any]:
    """The fields of a row by their wire names; `dump` writes them in their wire form."""
    kind = type(row)
    held = values(row) if instance_state(row).expired_attributes else vars(row)
    return dict(zip(wire_names(kind), map(held.get, _names(kind)), strict=True))


def new_row(model: type[ModelT], values: Mapping[str, Any]) -> ModelT:
    """Make a row that is not yet added, past the instrumented attributes, which take ten times as long."""
    row: ModelT = typing.cast(Any, model).__mapper__.class_manager.new_instance()
    vars(row).update(_nothing(typing.cast(Any, model)))
    vars(row).update(values)
    return row


def apply_defaults(row: Entity) -> None:
    """Give a new row its columns' defaults now, not at the flush: rules and the log read them.

    Null as well: where nothing stands, each reading would look for it anew.
    """
    held = vars(row)
    for name in _nothing(type(row)).keys() - held.keys():
        held[name] = None
    for name, default in _defaults(type(row)):
        if held.get(name) is None:
            held[name] = default.arg(None) if default.is_callable else default.arg


@cache
def _nothing(model: type[Any]) -> Mapping[str, None]:
    """Null for every column but those of JSON, where a null that is given is one of JSON's."""
    own = model.__mapper__.column_attrs
    return dict.fromkeys(one.key for one in own if not isinstance(one.columns[0].type, JSON))


@cache
def _defaults(model: type[Any]) -> tuple[tuple[str, Any], ...]:
    columns = ((attribute.key, attribute.columns[0].default) for attribute in model.__mapper__.column_attrs)
    return tuple((name, default) for name, default in columns if default is not None)


@cache
def wire_defaults(model: type[Entity]) -> Mapping[str, Any]:
    """What a new row has in fields that nobody named, by wire name; null where nothing stands here."""
    return {
        camel(name): wire_value(default.arg(None) if default.is_callable else default.arg)
        for name, default in _defaults(model)
    }
