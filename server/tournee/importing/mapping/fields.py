"""The parts of a mapping that define the records of a line, and the sources of their fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tournee.importing.mapping.columns import Condition, Part, Template, template_columns

_SOURCES = (
    *("column", "constant", "template", "join", "split", "texts"),
    *("record", "entity", "items", "each", "each_line"),
)


def _short(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


def _entry(value: Any) -> Any:
    """Split an entry's table into `when`, `unless` and fields; no input has fields of these names."""
    if not isinstance(value, dict) or "sources" in value:
        return value
    own = {name: value[name] for name in ("when", "unless") if name in value}
    return {**own, "sources": {k: v for k, v in value.items() if k not in own}}


class FieldSource(Part):
    """The source of a field's value: exactly one of these keys. A plain text names a column."""

    column: str | None = None
    constant: str | int | float | bool | list[str] | None = None
    template: Template | None = None
    join: list[FieldFrom] | None = None
    split: str | None = None
    separator: str | None = None
    record: str | None = None
    entity: str | None = None
    key: Template | None = None
    texts: dict[str, FieldFrom] | None = None
    items: list[EntryFrom] | None = None
    each: str | None = None
    each_line: EntryFrom | None = None
    fields: EntryFrom | None = None
    otherwise: FieldFrom | None = None
    required: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> FieldSource:
        if sum(getattr(self, name) is not None for name in _SOURCES) != 1:
            raise ValueError(f"give exactly one of {', '.join(_SOURCES)}")
        if (self.entity is None) != (self.key is None):
            raise ValueError("`entity` and `key` go together")
        if (self.each is None) != (self.fields is None):
            raise ValueError("`each` and `fields` go together")
        return self

    def entries(self) -> list[Entry]:
        """Return the entries of the list that read the same line."""
        return [*(self.items or []), *([self.each_line] if self.each_line else [])]

    def inner(self) -> list[FieldSource]:
        """Return the sources inside this one that read the same line."""
        found = [*(self.join or []), *(self.texts or {}).values()]
        for entry in self.entries():
            found += entry.sources.values()
        return found + ([self.otherwise] if self.otherwise is not None else [])

    def columns(self) -> set[str]:
        """Return the columns that this source itself names."""
        named = {name for name in (self.column, self.each, self.split) if name is not None}
        for template in (self.template, self.key):
            named |= set(template_columns(template)) if template is not None else set()
        for entry in self.entries():
            named |= {condition.column for condition in (*entry.when, *entry.unless)}
        return named


class Entry(Part):
    """One entry of a list, such as a finding. Without `when` it exists if one of its columns is filled."""

    when: list[Condition] = Field(default=[])
    unless: list[Condition] = Field(default=[])
    sources: dict[str, FieldFrom]


FieldFrom = Annotated[FieldSource, BeforeValidator(_short)]
EntryFrom = Annotated[Entry, BeforeValidator(_entry)]


class Record(Part):
    """One record that a line yields, or one for each entry of the list in column `each`.

    The fields in `together` are all set or none.
    """

    entity: str
    name: str = ""
    key: Template
    each: str | None = None
    when: list[Condition] = Field(default=[])
    unless: list[Condition] = Field(default=[])
    together: list[list[str]] = Field(default=[])
    existing: Literal["update", "keep"] = "update"
    fields: dict[str, FieldFrom]

    @property
    def label(self) -> str:
        return self.name or self.entity


def with_inner(top: Iterable[FieldSource]) -> list[FieldSource]:
    """Return these sources, and those inside them that read the same line."""
    found: list[FieldSource] = []
    pending = list(top)
    while pending:
        source = pending.pop(0)
        found.append(source)
        pending += source.inner()
    return found


def inner_columns(top: Iterable[FieldSource]) -> set[str]:
    """Return the columns of the objects in lists within the line."""
    found: set[str] = set()
    for source in with_inner(top):
        if source.fields is not None:
            inside = with_inner(source.fields.sources.values())
            found |= {name for one in inside for name in one.columns()}
            found |= {one.column for one in (*source.fields.when, *source.fields.unless)}
            found |= inner_columns(source.fields.sources.values())
    return found
