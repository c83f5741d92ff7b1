"""The parts of a mapping that say how the file is written and how a column is read."""

from __future__ import annotations

import re
from functools import cache
from string import Formatter
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError("not a known time zone; use an IANA name") from None
    return name


def _rewriting(pair: list[str]) -> list[str]:
    try:
        re.sub(pair[0], pair[1], "")
    except (re.error, IndexError) as error:
        raise ValueError(f"not a regular expression with its replacement: {error}") from None
    return pair


def _template(text: str) -> str:
    template_columns(text)
    return text


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except LookupError:
        raise ValueError(f"there is no encoding {name!r}") from None
    return name


@cache
def template_columns(text: str) -> tuple[str, ...]:
    """Return the columns named in a template such as `{NUMBER}/{YEAR}`."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"not a template: {error}") from None
    if any(spec or conversion for _, name, spec, conversion in parts if name is not None):
        raise ValueError("the braces of a template may hold only the name of a column")
    return tuple(name for _, name, _, _ in parts if name is not None)


Pattern = Annotated[str, AfterValidator(_pattern)]
Template = Annotated[str, AfterValidator(_template)]
Rewriting = Annotated[list[str], pydantic.Field(min_length=2, max_length=2), AfterValidator(_rewriting)]
Rule = Literal["trim", "collapse", "strip-zero-decimals", "upper", "lower", "title"]
Parse = Literal["text", "integer", "number", "date", "time", "boolean"]


class Part(BaseModel):
    """A table of the mapping file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Source(Part):
    """How the file is written. `header` names the columns of a file without a header line; lines above
    `header_line` are skipped. `records` is the place of the list in a JSON document.
    """

    format: Literal["csv", "jsonl", "json", "geojson", "xlsx"] | None = None
    encoding: Annotated[str, AfterValidator(_encoding)] | None = None
    delimiter: Annotated[str, pydantic.Field(min_length=1, max_length=1)] = ","
    header: list[str] | None = None
    header_line: Annotated[int, pydantic.Field(ge=1, le=1000)] = 1
    null: list[str] = []
    group_by: str | None = None
    records: str | None = None
    sheet: str | None = None


class Refuse(Part):
    """A value that is known to be wrong, and the reason."""

    matches: Pattern
    reason: str


class Column(Part):
    """How one column is read. `from` reads another column a second time, in another way.

    The order is: `null` lists texts that count as empty; `clean` and `rewrite` tidy up; `refuse` and
    `matches` find wrong values; `choices` and `parse` produce the value; `minimum` and `maximum` bound it. A
    number is converted into `unit` from the unit written after it, from that in `unit_column`, or else from
    `given_in`. `fold` chooses between the two instants of a local time that occurred twice.
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
    fold: Literal["earlier", "later"] | None = None
    decimal: Literal[".", ","] = "."
    unit: str | None = None
    given_in: str | None = None
    unit_column: str | None = None
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
        if self.unit is not None and self.parse != "number":
            raise ValueError("only numbers have a unit: say parse = 'number'")
        if self.unit is None and (self.given_in or self.unit_column):
            raise ValueError("name with `unit` the unit to convert into")
        bounds = [bound for bound in (self.minimum, self.maximum) if bound is not None]
        kind = (int, float) if self.parse in ("integer", "number") else str
        if bounds and self.parse in ("text", "boolean"):
            raise ValueError("only numbers, dates and times have a minimum or maximum")
        if not all(isinstance(bound, kind) for bound in bounds):
            raise ValueError(
                "write minimum and maximum as numbers for numbers, as ISO texts for dates and times"
            )
        return self


class Condition(Part):
    """A condition on a line; it tests the column's text in the file, without spaces around it."""

    column: str
    filled: bool | None = None
    equals: list[str] | None = None
    matches: Pattern | None = None

    @model_validator(mode="after")
    def _one_test(self) -> Condition:
        if sum(test is not None for test in (self.filled, self.equals, self.matches)) != 1:
            raise ValueError("give one of `filled`, `equals`, `matches`")
        return self


class Skip(Part):
    """Lines to leave out, and the reason: all of `when` must hold, and none of `unless`."""

    reason: str
    when: Annotated[list[Condition], pydantic.Field(min_length=1)]
    unless: list[Condition] = []
