"""Compiles the sources of fields into functions that read a line; each is made once for the whole file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from tournee.importing.mapping.columns import Column
from tournee.importing.mapping.fields import Entry, FieldSource, with_inner
from tournee.importing.mapping.model import Mapping, UnusableMapping
from tournee.importing.planning.cells import as_text
from tournee.importing.planning.conditions import all_hold
from tournee.importing.planning.plain_words import in_plain_words
from tournee.importing.planning.values import Values
from tournee.importing.targets import Input, Kind, is_text, record_id
from tournee.kernel.errors import Invalid

Getter = Callable[[Values], Any]
# Returns None if there is no entry.
EntryGetter = Callable[[Values], dict[str, Any] | None]


@dataclass(frozen=True)
class Compiler:
    """Makes getters from the field sources of a mapping."""

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
        if source.split is not None:
            return _split(source.split, kind, source.separator or ",", place)
        if source.constant is not None:
            return _constant(source.constant, kind, place)
        if source.template is not None:
            template = source.template
            return lambda values: values.filled_template(template)
        if source.join is not None:
            return self._join(source, place)
        return self._of_records_or_lists(source, kind, place)

    def _of_records_or_lists(self, source: FieldSource, kind: Kind, place: str) -> Getter:
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
            raise UnusableMapping(f"{place}: takes {kind.words}, but the column {name!r} is read as {parse}")
        self._check_choices(name, kind, place)
        if kind.listed:
            return _split(name, kind, None, place)
        if is_text(kind) or kind.type in (date, datetime):
            return _text_of(name)
        return lambda values: values.value(name)

    def _check_choices(self, name: str, kind: Kind, place: str) -> None:
        """Raise UnusableMapping if a choice gives a value that the field does not accept."""
        column = self.mapping.columns.get(name, Column())
        for choice in (column.choices or {}).values() if column.parse == "text" and is_text(kind) else ():
            _constant(choice, kind, f"columns.{name}.choices, for {place}")

    def _join(self, source: FieldSource, place: str) -> Getter:
        text = Kind(str)
        parts = [self.getter(part, text, f"{place}.join") for part in source.join or []]
        separator = " " if source.separator is None else source.separator

        def join(values: Values) -> str | None:
            found = [value for get in parts if (value := get(values)) is not None]
            return separator.join(found) or None

        return join

    def _elsewhere(self, source: FieldSource, place: str) -> Getter:
        entity, key = source.entity or "", source.key or ""
        if entity not in self.entities:
            known = ", ".join(sorted(self.entities))
            raise UnusableMapping(f"{place}.entity: there is no {entity!r}; there are {known}")
        organisation_id, system = self.organisation_id, self.mapping.system

        def reference(values: Values) -> str | None:
            known = values.filled_template(key)
            return None if known is None else str(record_id(organisation_id, system, entity, known))

        return reference

    def _texts(self, texts: dict[str, FieldSource], place: str) -> Getter:
        parts = [(name, self.getter(source, Kind(str), f"{place}.{name}")) for name, source in texts.items()]

        def collect(values: Values) -> dict[str, str] | None:
            found = {name: value for name, get in parts if (value := get(values)) is not None}
            return found or None

        return collect

    def _list(self, source: FieldSource, kind: Kind, place: str) -> Getter:
        if kind.items is None:
            raise UnusableMapping(f"{place}: does not take a list of entries")
        if source.items is not None:
            several = [self._entry(item, kind.items, f"{place}.items") for item in source.items]
            return lambda values: _filled(get(values) for get in several)
        if source.each_line is not None:
            one = self._entry(source.each_line, kind.items, f"{place}.each_line")
            return lambda values: _filled(one(line) for line in values.lines or [values])
        column = source.each or ""
        assert source.fields is not None
        inner = self._entry(source.fields, kind.items, f"{place}.fields")
        return lambda values: _filled(inner(entry) for entry in values.inner(column))

    def _entry(self, entry: Entry, known: dict[str, Input], place: str) -> EntryGetter:
        """Return a function that makes the entry, or None if its `when` fails or its columns are empty."""
        get = self.payload(entry.sources, known, place)
        if entry.when or entry.unless:
            is_there = all_hold(entry.when, entry.unless, bad_counts=True)
        else:
            columns = sorted(self.columns(entry.sources.values()))
            is_there = _has_any(columns)
        return lambda values: get(values) if is_there(values) else None

    def columns(self, sources: Iterable[FieldSource]) -> set[str]:
        """Return the columns of the line that these fields use, by their names in the mapping."""
        return {name for source in with_inner(sources) for name in source.columns()}

    def payload(
        self, sources: dict[str, FieldSource], known: dict[str, Input], place: str
    ) -> Callable[[Values], dict[str, Any]]:
        """Return a function that gives the fields that have a value; require all required fields."""
        unknown = sorted(sources.keys() - known.keys())
        if unknown:
            there = ", ".join(sorted(known))
            raise UnusableMapping(f"{place}: there is no field {unknown[0]!r}; there are {there}")
        missing = sorted(name for name, own in known.items() if own.required and name not in sources)
        if missing:
            raise UnusableMapping(f"{place}: the field {missing[0]!r} is required")
        return self.some(sources, known, place)

    def some(
        self, sources: dict[str, FieldSource], known: dict[str, Input], place: str
    ) -> Callable[[Values], dict[str, Any]]:
        """Return a function that gives those of these fields that have a value."""
        getters = [
            (name, self.getter(source, known[name].kind, f"{place}.{name}"))
            for name, source in sources.items()
        ]
        return lambda values: {name: value for name, get in getters if (value := get(values)) is not None}


def _constant(constant: Any, kind: Kind, place: str) -> Getter:
    try:
        kind.check(constant)
    except Invalid as refusal:
        raise UnusableMapping(f"{place}: {constant!r} {in_plain_words(refusal.message, '')}") from None
    return lambda values: constant


def _split(name: str, kind: Kind, separator: str | None, place: str) -> Getter:
    """Return a getter of a list in one column: a JSON list, or texts between separators."""
    if not kind.listed:
        raise UnusableMapping(f"{place}: takes {kind.words}, not a list")

    def split(values: Values) -> list[str] | None:
        raw = values.raw(name)
        if isinstance(raw, list):
            parts = [str(one) for one in raw if isinstance(one, str | int | float)]
            if len(parts) < len(raw):
                values.note(name, raw, "is a list that holds other values than texts")
                return None
        else:
            value = values.value(name)
            text = "" if value is None else as_text(value)
            parts = [text] if separator is None else text.split(separator)
        return list(dict.fromkeys(part.strip() for part in parts if part.strip())) or None

    return split


def _has_any(columns: list[str]) -> Callable[[Values], bool]:
    """Return a test whether one of these columns is filled; without columns it is always true."""
    if not columns:
        return lambda values: True
    return lambda values: any(values.is_filled(name) for name in columns)


def _text_of(name: str) -> Getter:
    def get(values: Values) -> str | None:
        value = values.value(name)
        return value if value is None or type(value) is str else as_text(value)

    return get


def _filled(entries: Iterator[dict[str, Any] | None]) -> list[dict[str, Any]] | None:
    return [entry for entry in entries if entry] or None


def _reference(label: str) -> Getter:
    return lambda values: values.id_of(label)
