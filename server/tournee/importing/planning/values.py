"""The values of one line: each column is read once, and its problem is noted once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tournee.importing.mapping.columns import Column, template_columns
from tournee.importing.mapping.model import Mapping, UnusableMapping
from tournee.importing.planning.cells import CellReader, Value, as_text
from tournee.importing.sources.lines import MOST_ENTRIES, Line, TooMuch, flat

_BRACES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_SHOWN = 300
WITHOUT_FIELD = "imported without this field"
WITHOUT_RECORD = "record not imported"
WITHOUT_LINE = "line not imported"
SKIPPED = "line skipped"
FIRST_KEPT = "first value kept"
# These outcomes mean that something in the file is not in the database.
LOST = frozenset({WITHOUT_RECORD, WITHOUT_LINE})


@dataclass(slots=True)
class Problem:
    """One line of the report."""

    line: int
    record: str
    key: str
    column: str
    value: str
    reason: str
    done: str


class NotImportable(ValueError):
    """A line yields no record of this kind; the message says why."""


class Readers:
    """The columns of a mapping, each with its reader and its name in the file."""

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self._known = {name: self._reader(name, column) for name, column in mapping.columns.items()}
        self.get = self._known.get

    def __getitem__(self, name: str) -> tuple[CellReader, str]:
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._reader(name, Column())
        return known

    def _reader(self, name: str, column: Column) -> tuple[CellReader, str]:
        try:
            return CellReader(column, self.mapping.source.null), self.mapping.origin(name)
        except ValueError as error:
            raise UnusableMapping(f"columns.{name}: minimum or maximum: {error}") from None


class Values:
    """The values of one line, or of one entry of a list in it, which also sees the columns of its `outer`."""

    __slots__ = (
        "_read",
        "bad",
        "cells",
        "failed",
        "ids",
        "inside",
        "key",
        "label",
        "line",
        "lines",
        "outer",
        "problems",
        "readers",
    )

    def __init__(
        self,
        readers: Readers,
        line: Line,
        problems: list[Problem],
        inside: str = "",
        outer: Values | None = None,
    ) -> None:
        self.readers = readers
        self.line = line
        self.cells = line.cells
        self.problems = problems
        self.inside = inside
        self.outer = outer
        # All lines of the group, this one included.
        self.lines: list[Values] = []
        self.ids: dict[str, str | None] = {}
        self.failed: set[str] = set()
        # Columns whose content cannot be understood.
        self.bad: set[str] = set()
        # The record that is being planned from the line.
        self.label = self.key = ""
        self._read: dict[str, Value] = {}

    def value(self, name: str) -> Value:
        if name in self._read:
            return self._read[name]
        reader, origin = self.readers.get(name) or self.readers[name]
        if self.outer is not None and origin not in self.cells:
            value = self.outer.value(name)
            if name in self.outer.bad:
                self.bad.add(name)
        else:
            raw = self.cells.get(origin)
            # Most texts were read before, and calling `read` for each cell would dominate the time of a line.
            known = reader.known.get(raw) if type(raw) is str and reader.unit_column is None else None
            if known is None:
                unit = None if reader.unit_column is None else self._unit(reader.unit_column)
                known = reader.read(raw, unit)
            value, problem = known
            if problem is not None:
                self.bad.add(name)
                self.note(origin, raw, problem)
        self._read[name] = value
        return value

    def _unit(self, column: str) -> str | None:
        value = self.value(column)
        return None if value is None else as_text(value)

    def raw(self, name: str) -> Any:
        origin = self.readers[name][1]
        if self.outer is not None and origin not in self.cells:
            return self.outer.raw(name)
        return self.cells.get(origin)

    def is_filled(self, name: str) -> bool:
        """Return whether the column holds anything, even if it cannot be understood."""
        return self.value(name) is not None or name in self.bad

    def note(self, column: str, raw: Any, reason: str, done: str = WITHOUT_FIELD) -> None:
        shown = "" if raw is None else "a list" if isinstance(raw, list) else str(raw)[:_SHOWN]
        column = self.inside + column
        self.problems.append(Problem(self.line.number, self.label, self.key, column, shown, reason, done))

    def filled_template(self, template: str) -> str | None:
        """Return the template filled with the columns' values; None if one has no value."""
        names = template_columns(template)
        found = {}
        for name in names:
            value = self.value(name)
            if value is None:
                return None
            found[name] = value
        if len(names) == 1 and len(template) == len(names[0]) + 2:
            return as_text(found[names[0]])
        # str.format would fail on some column names, which may be any text.
        return _BRACES.sub(lambda part: part[0][0] if part[1] is None else as_text(found[part[1]]), template)

    def listed(self, column: str) -> list[dict[str, Any]]:
        """Return the objects of a list in the line; raises NotImportable if it is not such a list."""
        entries = self.raw(column)
        if entries is None or entries == "":
            return []
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise NotImportable(f"{column} is not a list of objects")
        if len(entries) > MOST_ENTRIES:
            raise NotImportable(f"{column} has more than {MOST_ENTRIES:,} entries")
        return entries

    def inner(self, column: str) -> Iterable[Values]:
        """Yield the objects of a list, each with its own columns only."""
        for number, entry in enumerate(self.listed(column), 1):
            yield self._inside(entry, "", f"{column}[{number}].")

    def spread(self, column: str) -> Iterable[Values]:
        """Yield the objects of a list with the line's columns and their own, prefixed by the list's name."""
        for number, entry in enumerate(self.listed(column), 1):
            yield self._inside(entry, f"{column}.", f"[{number}] ", self)

    def _inside(self, entry: dict[str, Any], prefix: str, inside: str, outer: Values | None = None) -> Values:
        try:
            cells = flat(entry, prefix)
        except TooMuch as problem:
            raise NotImportable(f"{prefix}: {problem}") from None
        values = Values(
            self.readers, Line(self.line.number, cells), self.problems, self.inside + inside, outer
        )
        values.label, values.key = self.label, self.key
        return values

    def id_of(self, label: str) -> str | None:
        """Return the id of the line's record with this label; raises NotImportable if that record failed."""
        if label in self.failed:
            raise NotImportable(f"its {label} was not imported")
        if label not in self.ids and self.outer is not None:
            return self.outer.id_of(label)
        return self.ids.get(label)
