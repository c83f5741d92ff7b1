"""The values of one line, and how a field gets its value from them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID

from tournee.importing.cells import CellReader, Value, as_text
from tournee.importing.mapping import Column, FieldSource, Mapping, UnusableMapping, template_columns
from tournee.importing.sources import Line, flat
from tournee.importing.targets import Input, Kind, is_text, record_id

_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
WITHOUT_FIELD = "imported without this field"
WITHOUT_RECORD = "record not imported"
WITHOUT_LINE = "line not imported"
FIRST_KEPT = "what was said first stays"


@dataclass(frozen=True, slots=True)
class Problem:
    """One line of the report."""

    line: int
    record: str
    column: str
    value: str
    reason: str
    done: str


class NotImportable(ValueError):
    """Why a line yields no record of this kind."""


class Readers:
    """The columns of a mapping, ready to read: for each its reader and its name in the file."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self._known: dict[str, tuple[CellReader, str]] = {}

    def __getitem__(self, name: str) -> tuple[CellReader, str]:
        if name not in self._known:
            column = self.mapping.columns.get(name, Column())
            reader = CellReader(column, self.mapping.source.null)
            self._known[name] = (reader, self.mapping.origin(name))
        return self._known[name]


@dataclass
class Values:
    """One line being read. Each column is read once, and what is wrong with it noted once."""

    readers: Readers
    line: Line
    problems: list[Problem]
    lines: list[Values] = field(default_factory=list)
    ids: dict[str, UUID | None] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    inside: str = ""
    _read: dict[str, Value] = field(default_factory=dict)

    def value(self, name: str) -> Value:
        if name in self._read:
            return self._read[name]
        reader, origin = self.readers[name]
        raw = self.line.cells.get(origin)
        value, problem = reader.read(raw)
        if problem is not None:
            self.note(origin, raw, problem)
        self._read[name] = value
        return value

    def raw(self, name: str) -> Any:
        return self.line.cells.get(self.readers[name][1])

    def note(self, column: str, raw: Any, reason: str, done: str = WITHOUT_FIELD) -> None:
        shown = "" if raw is None else str(raw)
        self.problems.append(Problem(self.line.number, "", self.inside + column, shown, reason, done))

    def filled_template(self, template: str) -> str | None:
        """The template with its columns' values; None if one of them has none."""
        found = {name: self.value(name) for name in template_columns(template)}
        if any(value is None for value in found.values()):
            return None
        # Not str.format: a column may be called anything.
        return _BRACES.sub(lambda part: part[0][0] if part[1] is None else as_text(found[part[1]]), template)

    def inner(self, column: str) -> Iterable[Values]:
        """The objects of a list within the line."""
        entries = self.line.cells.get(column) or []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            self.note(column, entries, "is no list of objects")
            return
        for number, entry in enumerate(entries, 1):
            line = Line(self.line.number, flat(entry))
            yield Values(self.readers, line, self.problems, inside=f"{column}[{number}].")


Getter = Callable[[Values], Any]


@dataclass(frozen=True)
class Compiler:
    """Makes a function from what the mapping says of a field, once for the whole file."""

    mapping: Mapping
    organisation_id: UUID
    entities: frozenset[str]

    def getter(self, source: FieldSource, kind: Kind, place: str) -> Getter:
        get = self._own(source, kind, place)
        if source.otherwise is None:
            return get
        other = self.getter(source.otherwise, kind, f"{place}.otherwise")

        def first(values: Values) -> Any:
            value = get(values)
            return other(values) if value is None else value

        return first

    def _own(self, source: FieldSource, kind: Kind, place: str) -> Getter:
        if source.column is not None:
            return self._column(source.column, kind, place)
        if source.constant is not None:
            constant = source.constant
            return lambda values: constant
        if source.template is not None:
            template = source.template
            return lambda values: values.filled_template(template)
        if source.join is not None:
            return self._join(source, place)
        if source.record is not None:
            return _reference(source.record)
        if source.entity is not None:
            return self._elsewhere(source, place)
        if source.texts is not None:
            return self._texts(source.texts, place)
        return self._list(source, kind, place)

    def _column(self, name: str, kind: Kind, place: str) -> Getter:
        parse = self.mapping.columns.get(name, Column()).parse
        if not kind.takes(parse):
            raise UnusableMapping(f"{place}: takes a {kind.type.__name__}, but {name!r} is read as {parse}")
        if is_text(kind) or kind.type in (date, datetime):
            return _text_of(name)
        if kind.listed:
            return lambda values: None if (value := values.value(name)) is None else [as_text(value)]
        return lambda values: values.value(name)

    def _join(self, source: FieldSource, place: str) -> Getter:
        text = Kind(str)
        parts = [self.getter(part, text, f"{place}.join") for part in source.join or []]
        separator = source.separator

        def join(values: Values) -> str | None:
            found = [value for get in parts if (value := get(values)) is not None]
            return separator.join(found) or None

        return join

    def _elsewhere(self, source: FieldSource, place: str) -> Getter:
        entity, key = source.entity or "", source.key or ""
        if entity not in self.entities:
            raise UnusableMapping(
                f"{place}.entity: there is no {entity!r}; there are {sorted(self.entities)}"
            )

        def reference(values: Values) -> str | None:
            known = values.filled_template(key)
            return (
                None
                if known is None
                else str(record_id(self.organisation_id, self.mapping.system, entity, known))
            )

        return reference

    def _texts(self, texts: dict[str, FieldSource], place: str) -> Getter:
        parts = {name: self.getter(source, Kind(str), f"{place}.{name}") for name, source in texts.items()}

        def collect(values: Values) -> dict[str, str] | None:
            found = {name: value for name, get in parts.items() if (value := get(values)) is not None}
            return found or None

        return collect

    def _list(self, source: FieldSource, kind: Kind, place: str) -> Getter:
        if kind.items is None:
            raise UnusableMapping(f"{place}: takes no list of entries")
        known = kind.items
        if source.items is not None:
            several = [self.payload(item, known, f"{place}.items") for item in source.items]
            return lambda values: _filled(get(values) for get in several)
        if source.each_line is not None:
            one = self.payload(source.each_line, known, f"{place}.each_line")
            return lambda values: _filled(one(line) for line in values.lines or [values])
        column = source.each or ""
        inner = self.payload(source.fields or {}, known, f"{place}.fields")
        return lambda values: _filled(inner(entry) for entry in values.inner(column))

    def payload(
        self, sources: dict[str, FieldSource], known: dict[str, Input], place: str
    ) -> Callable[[Values], dict[str, Any]]:
        """A function that gives the fields that have a value."""
        unknown = sorted(sources.keys() - known.keys())
        if unknown:
            raise UnusableMapping(f"{place}: there is no field {unknown[0]!r}; there are {sorted(known)}")
        missing = sorted(name for name, own in known.items() if own.required and name not in sources)
        if missing:
            raise UnusableMapping(f"{place}: the field {missing[0]!r} is required")
        getters = {
            name: self.getter(source, known[name].kind, f"{place}.{name}") for name, source in sources.items()
        }
        return lambda values: {
            name: value for name, get in getters.items() if (value := get(values)) is not None
        }


def _text_of(name: str) -> Getter:
    def get(values: Values) -> str | None:
        value = values.value(name)
        return value if value is None or type(value) is str else as_text(value)

    return get


def _filled(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]] | None:
    return [entry for entry in entries if entry] or None


def _reference(label: str) -> Getter:
    def get(values: Values) -> str | None:
        if label in values.failed:
            raise NotImportable(f"its {label} was not imported")
        id = values.ids.get(label)
        return None if id is None else str(id)

    return get
