"""The mapping file: which column becomes which field, and what is to be done with dirt."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pydantic
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator


class UnusableMapping(ValueError):
    """The mapping cannot be used; the message names the file and the key."""


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError("no such time zone; use an IANA name") from None
    return name


def _rewriting(pair: list[str]) -> list[str]:
    try:
        re.sub(pair[0], pair[1], "")
    except (re.error, IndexError) as error:
        raise ValueError(f"no regular expression and its replacement: {error}") from None
    return pair


def _template(text: str) -> str:
    template_columns(text)
    return text


@cache
def template_columns(text: str) -> tuple[str, ...]:
    """The columns named in a template such as `{NUMBER}/{YEAR}`."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"no template: {error}") from None
    if any(spec or conversion for _, name, spec, conversion in parts if name is not None):
        raise ValueError("a template holds {column} names only")
    return tuple(name for _, name, _, _ in parts if name is not None)


Pattern = Annotated[str, AfterValidator(_pattern)]
Template = Annotated[str, AfterValidator(_template)]
Rewriting = Annotated[list[str], pydantic.Field(min_length=2, max_length=2), AfterValidator(_rewriting)]
Rule = Literal["trim", "collapse", "strip-zero-decimals", "upper", "lower"]
Parse = Literal["text", "integer", "number", "date", "time", "boolean"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Source(_Part):
    """How the file is written. `header` names the columns of a file that has no header line."""

    format: Literal["csv", "jsonl"] | None = None
    encoding: str = "utf-8"
    delimiter: Annotated[str, pydantic.Field(min_length=1, max_length=1)] = ","
    header: list[str] | None = None
    null: list[str] = []
    group_by: str | None = None

    @model_validator(mode="after")
    def _encoding_exists(self) -> Source:
        try:
            "".encode(self.encoding)
        except LookupError:
            raise ValueError(f"there is no encoding {self.encoding!r}") from None
        return self


class Refuse(_Part):
    """A value that is known to be wrong, and why."""

    matches: Pattern
    reason: str


class Column(_Part):
    """How one column is read. `from` reads another column once more, in another way.

    In this order: `null` values are no value, `clean` and `rewrite` tidy up, `refuse` and `matches`
    find what is wrong, `choices` and `parse` give the value, `minimum` and `maximum` bound it.
    """

    origin: str | None = pydantic.Field(default=None, alias="from")
    null: list[str] = []
    clean: list[Rule] = ["trim"]
    rewrite: list[Rewriting] = []
    refuse: list[Refuse] = []
    matches: Pattern | None = None
    choices: dict[str, str] | None = None
    parse: Parse = "text"
    formats: list[str] = []
    zone: Annotated[str, AfterValidator(_zone)] | None = None
    decimal: Literal[".", ","] = "."
    true: list[str] = ["true", "yes", "1"]
    false: list[str] = ["false", "no", "0"]
    minimum: float | str | None = None
    maximum: float | str | None = None
    expected: bool = False
    on_bad: Literal["report-field", "report-line"] = "report-field"

    @model_validator(mode="after")
    def _fits_together(self) -> Column:
        if self.parse == "date" and not self.formats:
            raise ValueError("a date needs `formats`, such as ['%Y-%m-%d']")
        bounds = [bound for bound in (self.minimum, self.maximum) if bound is not None]
        kind = (int, float) if self.parse in ("integer", "number") else str
        if bounds and self.parse in ("text", "boolean"):
            raise ValueError("only numbers, dates and times have a minimum or maximum")
        if not all(isinstance(bound, kind) for bound in bounds):
            raise ValueError("minimum and maximum are numbers for numbers, ISO texts for dates and times")
        return self


class Condition(_Part):
    """Something a line must fulfil; the column's text is looked at as it stands in the file, trimmed."""

    column: str
    filled: bool | None = None
    equals: list[str] | None = None
    matches: Pattern | None = None

    @model_validator(mode="after")
    def _one_test(self) -> Condition:
        if sum(test is not None for test in (self.filled, self.equals, self.matches)) != 1:
            raise ValueError("give one of `filled`, `equals`, `matches`")
        return self


class Skip(_Part):
    """Lines to leave out, and why; all the conditions must hold."""

    reason: str
    when: Annotated[list[Condition], pydantic.Field(min_length=1)]


def _short(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


class FieldSource(_Part):
    """Where a field's value comes from: exactly one of these. A bare text names a column."""

    column: str | None = None
    constant: str | int | float | bool | None = None
    template: Template | None = None
    join: list[FieldFrom] | None = None
    separator: str = " "
    record: str | None = None
    entity: str | None = None
    key: Template | None = None
    texts: dict[str, FieldFrom] | None = None
    items: list[dict[str, FieldFrom]] | None = None
    each: str | None = None
    each_line: dict[str, FieldFrom] | None = None
    fields: dict[str, FieldFrom] | None = None
    otherwise: FieldFrom | None = None
    required: bool = False

    @model_validator(mode="after")
    def _one_source(self) -> FieldSource:
        sources = ("column", "constant", "template", "join", "record", "entity", "texts", "items", "each")
        given = [name for name in (*sources, "each_line") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join((*sources, 'each_line'))}")
        if (self.entity is None) != (self.key is None):
            raise ValueError("`entity` and `key` go together")
        if (self.each is None) != (self.fields is None):
            raise ValueError("`each` and `fields` go together")
        return self


FieldFrom = Annotated[FieldSource, BeforeValidator(_short)]


class Record(_Part):
    """One record that a line yields. `together` names fields that are given all or not at all."""

    entity: str
    name: str = ""
    key: Template
    when: list[Condition] = []
    together: list[list[str]] = []
    existing: Literal["update", "keep"] = "update"
    fields: dict[str, FieldFrom]

    @property
    def label(self) -> str:
        return self.name or self.entity


class Mapping(_Part):
    """A mapping file. `system` names where the keys come from: files of one system know each other's."""

    system: str
    description: str = ""
    source: Source = Source()
    columns: dict[str, Column] = {}
    skip: list[Skip] = []
    record: Annotated[list[Record], pydantic.Field(min_length=1)]

    @model_validator(mode="after")
    def _labels_differ(self) -> Mapping:
        seen: set[str] = set()
        for record in self.record:
            for source in _sources(record.fields.values()):
                if source.record is not None and source.record not in seen:
                    raise ValueError(f"`record = {source.record!r}` names no record above {record.label!r}")
            if record.label in seen:
                raise ValueError(f"two records are called {record.label!r}; give one a `name`")
            seen.add(record.label)
        return self

    def used_columns(self) -> set[str]:
        """The columns of the file that this mapping reads."""
        used = {condition.column for skip in self.skip for condition in skip.when}
        used |= {self.source.group_by} if self.source.group_by else set()
        for record in self.record:
            used |= {condition.column for condition in record.when}
            used |= set(template_columns(record.key))
            for source in _sources(record.fields.values()):
                used |= _own_columns(source)
        used |= {name for name, column in self.columns.items() if column.expected}
        return {self.origin(name) for name in used}

    def origin(self, name: str) -> str:
        column = self.columns.get(name)
        return column.origin if column is not None and column.origin is not None else name


def _own_columns(source: FieldSource) -> set[str]:
    named = {source.column, source.each} - {None}
    for template in (source.template, source.key):
        named |= set(template_columns(template)) if template is not None else set()
    return {name for name in named if name is not None}


def _sources(top: Any) -> list[FieldSource]:
    """These sources and those inside them that read the same line."""
    found: list[FieldSource] = []
    pending = list(top)
    while pending:
        source = pending.pop()
        found.append(source)
        pending += source.join or []
        pending += (source.texts or {}).values()
        pending += (source.each_line or {}).values()
        pending += [inner for item in source.items or [] for inner in item.values()]
        pending += [source.otherwise] if source.otherwise is not None else []
    return found


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
    place = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in location)
    return place.removeprefix(".") or "the whole file"
