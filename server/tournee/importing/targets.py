"""Targets: the entities that can be imported, and the commands that write them."""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property, lru_cache
from typing import Annotated, Any, get_args, get_origin
from uuid import UUID

import uuid_utils
from sqlalchemy import UniqueConstraint

from tournee.assets.commands import move_asset
from tournee.assets.models import Asset
from tournee.kernel.command import Command
from tournee.kernel.entity import Entity
from tournee.kernel.fields import camel
from tournee.kernel.inputs import Unset, parse_value
from tournee.kernel.registry import BY_NAME, BY_TABLE, registered
from tournee.quality.commands import record_past_audit
from tournee.quality.models import Audit

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "yes or no",
    date: "a date",
    datetime: "a time",
    UUID: "a record",
}

IMPORTED = (
    "Customer",
    "Site",
    "Contact",
    "Asset",
    "Meter",
    "Reading",
    "Audit",
    "Technician",
    "Part",
    "WorkOrder",
)
# Entities whose past records need another command than the one that people use.
_OF_THE_PAST: Dictionary[type[Entity], Command[Any, Any]] = {Audit: record_past_audit}
# Fields that a mapping may set besides the command's input: a reading's unit, to convert it into its meter's.
_BESIDE = {"Reading": ("unit",)}
# Fields that an import must not update, because recorded values depend on them.
_FIXED = {"Meter": frozenset({"unit"})}
# Entities that are moved by their own command, and its fields, which are always given together.
_PLACING: Dictionary[type[Entity], tuple[Command[Any, Any], tuple[str, ...]]] = {
    Asset: (move_asset, ("site_id", "customer_id"))
}


@dataclass(frozen=True)
class Kind:
    """The type of an input field: a scalar, an entry of `items`, or a list of either."""

    type: Any
    listed: bool = False
    nullable: bool = False
    # The annotation in the command's input.
    annotation: Any = field(default=str, compare=False)

    def check(self, value: Any) -> None:
        """Raise Invalid unless the field takes this value."""
        parse_value(self.annotation, value)

    @property
    def items(self) -> dict[str, Input] | None:
        """Return the fields of each entry if the field is a list of inputs, otherwise None."""
        listed = self.listed and dataclasses.is_dataclass(self.type)
        return inputs(typing.cast(type[Any], self.type)) if listed else None

    @property
    def words(self) -> str:
        """Return what the field accepts, in words for people who write mappings."""
        if self.listed:
            return "a list"
        return _WORDS.get(self.type, "a text")

    def takes(self, parse: str) -> bool:
        """Return whether the field accepts the values of a column that is parsed like this."""
        wanted = {int: {"integer"}, float: {"integer", "number"}, bool: {"boolean"}, date: {"date"}}
        return self.listed or parse in (wanted | {datetime: {"time"}}).get(self.type, {parse})


@dataclass(frozen=True)
class Input:
    """One field of a command's input, by its wire name."""

    name: str
    wire: str
    kind: Kind
    required: bool


def _kind(annotation: Any) -> Kind:
    return dataclasses.replace(_bare_kind(annotation), annotation=annotation)


def _bare_kind(annotation: Any) -> Kind:
    nullable = False
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (typing.Union, types.UnionType):
            parts = [part for part in get_args(annotation) if part is not Unset]
            nullable = nullable or type(None) in parts
            annotation = next(part for part in parts if part is not type(None))
        elif origin is list:
            return Kind(_bare_kind(get_args(annotation)[0]).type, listed=True, nullable=nullable)
        else:
            return Kind(annotation, nullable=nullable)


def inputs(input_type: type[Any]) -> dict[str, Input]:
    """Return the fields of an input type by their wire names."""
    hints = typing.get_type_hints(input_type, include_extras=True)
    return {
        camel(one.name): Input(
            one.name,
            camel(one.name),
            _kind(hints[one.name]),
            one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING,
        )
        for one in dataclasses.fields(input_type)
    }


@dataclass(frozen=True)
class Target:
    """An entity that can be imported."""

    entity: str
    model: type[Entity]
    create: Command[Any, Any]
    update: Command[Any, Any] | None
    place: Command[Any, Any] | None
    placing: tuple[str, ...]
    inputs: dict[str, Input]
    references: dict[str, type[Entity]]

    @cached_property
    def has_unique_key(self) -> bool:
        """Return whether external keys are unique."""
        table: Any = self.model.__table__
        unique = [item for item in table.constraints if isinstance(item, UniqueConstraint)]
        return any("external_key" in constraint.columns for constraint in unique)

    @cached_property
    def updatable(self) -> frozenset[str]:
        if self.update is None:
            return frozenset()
        names = frozenset(one.name for one in dataclasses.fields(self.update.input))
        return names - _FIXED.get(self.entity, frozenset())

    @cached_property
    def fields(self) -> dict[str, Input]:
        """Return the fields that a mapping may set; `id` and `externalKey` follow from the key."""
        beside = {name: Input(name, name, Kind(str), required=False) for name in _BESIDE.get(self.entity, ())}
        own = {name: one for name, one in self.inputs.items() if name not in ("id", "externalKey")}
        return own | beside


def target_of(entity: str) -> Target:
    """Return the target with this name; raises KeyError if it cannot be imported."""
    if entity not in IMPORTED:
        raise KeyError(entity)
    entry = registered(BY_NAME[entity])
    create = _OF_THE_PAST.get(entry.model, entry.create)
    assert create is not None
    known = inputs(create.input)
    place, places = _PLACING.get(entry.model, (None, ()))
    references = {one.name: BY_TABLE[one.references] for one in entry.fields if one.references}
    return Target(
        entity,
        entry.model,
        create,
        entry.update,
        place,
        places,
        known,
        {name: model for name, model in references.items() if camel(name) in known},
    )


def record_id(organisation_id: UUID, system: str, entity: str, key: str) -> UUID:
    """Return the id of the record that is imported under this key: a UUIDv5, the same in every run."""
    return UUID(int=uuid_utils.uuid5(_namespace(organisation_id), f"{system}\n{entity}\n{key}").int)


@lru_cache(maxsize=10)
def _namespace(organisation_id: UUID) -> uuid_utils.UUID:
    return uuid_utils.UUID(str(organisation_id))


def is_text(kind: Kind) -> bool:
    """Return whether the field accepts texts unchanged."""
    return kind.type is str or (isinstance(kind.type, type) and issubclass(kind.type, enum.Enum))
