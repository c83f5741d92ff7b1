"""Compiles the record sections of a mapping into recipes for each line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tournee.importing.mapping.fields import FieldSource, Record, with_inner
from tournee.importing.mapping.model import Mapping, UnusableMapping
from tournee.importing.planning.compiling import Compiler, Getter
from tournee.importing.planning.conditions import Test, all_hold
from tournee.importing.planning.values import Values
from tournee.importing.targets import IMPORTED, Kind, Target, target_of
from tournee.kernel.errors import Invalid
from tournee.kernel.inputs import parse_value
from tournee.kernel.values import apply_defaults


@dataclass(frozen=True, eq=False)
class Recipe:
    """How a record is made from a line.

    `whole`: the record has a list of entries, and a part of the list would look complete.
    """

    record: Record
    target: Target
    get: Callable[[Values], dict[str, Any]]
    holds: Test
    required: frozenset[str]
    indispensable: frozenset[str]
    names: tuple[str, ...]
    columns: dict[str, str]
    lists: Callable[[Values], dict[str, Any]]
    whole: bool
    unit: Getter | None

    @property
    def label(self) -> str:
        return self.record.label

    def column(self, field: str) -> str:
        """Return the columns behind a field, or behind a field of an entry such as `findings.0.grade`."""
        names = field.split(".")
        return self.columns.get(f"{names[0]}.{names[-1]}") or self.columns.get(names[0], "")


def recipe_of(record: Record, mapping: Mapping, compiler: Compiler) -> Recipe:
    """Return the recipe of a record section; raises UnusableMapping if it does not fit the entity."""
    place = f"record {record.label!r}"
    try:
        target = target_of(record.entity)
    except KeyError:
        known = ", ".join(IMPORTED)
        raise UnusableMapping(f"{place}: {record.entity!r} cannot be imported; {known} can") from None
    for name in ("id", "externalKey"):
        if name in record.fields:
            raise UnusableMapping(f"{place}.fields: {name!r} follows from the key; leave it out")
    sources, offered = record.fields, target.fields
    get = compiler.payload(sources, offered, f"{place}.fields")
    together = {name for group in record.together for name in group}
    if unknown := sorted(together - sources.keys()):
        raise UnusableMapping(f"{place}.together: {unknown[0]!r} is not a field of this record")
    _check_constants(sources, target, place)
    required = frozenset(name for name in sources if sources[name].required or offered[name].required)
    lists = frozenset(name for name in sources if offered[name].kind.items is not None)
    return Recipe(
        record,
        target,
        get,
        all_hold(record.when, record.unless),
        required,
        # A list of entries is imported whole or not at all: a part of it would look complete.
        required | lists,
        tuple(offered[name].name for name in sources if name in target.inputs),
        _columns(sources, mapping),
        compiler.some({name: sources[name] for name in lists}, offered, f"{place}.fields"),
        bool(lists),
        _unit_of(record, mapping, compiler),
    )


def _check_constants(sources: dict[str, FieldSource], target: Target, place: str) -> None:
    """Let the entity's own rules check the values that are the same in every line, such as a time zone."""
    constants = {
        name: parse_value(target.inputs[name].kind.annotation, source.constant)
        for name, source in sources.items()
        if source.constant is not None and name in target.inputs
    }
    own = {target.inputs[name].name: value for name, value in constants.items()}
    row = target.model(**{name: value for name, value in own.items() if hasattr(target.model, name)})
    apply_defaults(row)
    try:
        row.check()
    except Invalid as refusal:
        if refusal.field in constants:
            wrong = sources[refusal.field].constant
            raise UnusableMapping(f"{place}.fields.{refusal.field}: {wrong!r}: {refusal.message}") from None
    except (AttributeError, TypeError):
        pass  # The rules also read fields that only a line can fill.


def _columns(sources: dict[str, FieldSource], mapping: Mapping) -> dict[str, str]:
    """Return the columns of each field and of each field of its entries, by their names in the file."""

    def named(*several: FieldSource) -> str:
        names = {name: None for one in with_inner(several) for name in sorted(one.columns())}
        return ", ".join({mapping.origin(name): None for name in names})

    found: dict[str, str] = {}
    for name, source in sources.items():
        found[name] = named(source)
        inside: dict[str, list[FieldSource]] = {}
        for entry in source.entries():
            for own, inner in entry.sources.items():
                inside.setdefault(own, []).append(inner)
        found |= {f"{name}.{own}": named(*several) for own, several in inside.items()}
    return found


def _unit_of(record: Record, mapping: Mapping, compiler: Compiler) -> Getter | None:
    """Return a getter of a reading's unit: from its own section, or from the meter's in the same line."""
    if record.entity != "Reading":
        return None
    source = record.fields.get("unit")
    meter, value = record.fields.get("meterId"), record.fields.get("value")
    converted = mapping.columns.get((value and value.column) or "")
    if source is None and converted is not None and converted.unit is not None:
        source = FieldSource(constant=converted.unit)
    if source is None and meter is not None:
        source = next((one.fields.get("unit") for one in mapping.record if one.label == meter.record), None)
    return None if source is None else compiler.getter(source, Kind(str), f"record {record.label!r}.unit")
