"""Reads the mapping file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

import pydantic
from pydantic import Field, model_validator

from tournee.importing.mapping.columns import Column, Part, Skip, Source, template_columns
from tournee.importing.mapping.fields import Record, inner_columns, with_inner


class UnusableMapping(ValueError):
    """The mapping cannot be used; the message names the file and the key."""


class Mapping(Part):
    """A mapping file. `system` names where the keys come from: files of one system share their keys."""

    system: str
    description: str = ""
    source: Source = Source()
    columns: dict[str, Column] = Field(default={})
    skip: list[Skip] = Field(default=[])
    record: Annotated[list[Record], Field(min_length=1)]

    @model_validator(mode="after")
    def _labels_differ(self) -> Mapping:
        seen: set[str] = set()
        for record in self.record:
            for source in with_inner(record.fields.values()):
                if source.record is not None and source.record not in seen:
                    raise ValueError(f"`record = {source.record!r}` names no record above {record.label!r}")
            if record.label in seen:
                raise ValueError(f"two records are called {record.label!r}; give one a `name`")
            seen.add(record.label)
        return self

    def unread_columns(self) -> list[str]:
        """Return the column sections that no record uses: their names may be wrong."""
        read = self._named()
        rules = self.columns.items()
        return [name for name, column in rules if name not in read and column.on_bad != "report-line"]

    def used_columns(self) -> set[str]:
        """Return the columns of the file that this mapping reads, without those of lists in a line."""
        lists = tuple(f"{record.each}." for record in self.record if record.each is not None)
        names = {self.origin(name) for name in self._named(inside=False)}
        return {name for name in names if not name.startswith(lists or "\n")}

    def _named(self, *, inside: bool = True) -> set[str]:
        """Return the names of all columns that it reads; with `inside`, also those of objects in a list."""
        used = {condition.column for skip in self.skip for condition in (*skip.when, *skip.unless)}
        used |= {self.source.group_by} if self.source.group_by else set()
        for record in self.record:
            used |= {condition.column for condition in (*record.when, *record.unless)}
            used |= {record.each} if record.each is not None else set()
            used |= set(template_columns(record.key))
            for source in with_inner(record.fields.values()):
                used |= source.columns()
            used |= inner_columns(record.fields.values()) if inside else set()
        used |= {name for name, column in self.columns.items() if column.expected}
        units = {self.columns[name].unit_column for name in used & self.columns.keys()}
        return used | {name for name in units if name is not None}

    def origin(self, name: str) -> str:
        column = self.columns.get(name)
        return column.origin if column is not None and column.origin is not None else name


def load_mapping(path: Path) -> Mapping:
    """Read a mapping file; raises UnusableMapping naming the file and the key."""
    try:
        raw = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnusableMapping(f"{path}: {error}") from None
    try:
        return Mapping.model_validate(raw)
    except pydantic.ValidationError as error:
        lines = [
            f"{path}: {_place(problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False, include_context=False)
        ]
        raise UnusableMapping("\n".join(lines)) from None


def _place(location: tuple[int | str, ...]) -> str:
    parts = [part for part in location if part != "sources"]
    place = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in parts)
    return place.removeprefix(".") or "the whole file"
