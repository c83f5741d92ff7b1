"""Read the text of a cell into a value, or say what is wrong with it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from tournee.importing.mapping.columns import Column
from tournee.importing.planning.moments import date_of, in_utc, time_of
from tournee.importing.planning.plain_words import BadCell
from tournee.importing.planning.units import converted
from tournee.importing.sources.formula_errors import FormulaError

Value = str | int | float | bool | date | datetime | None
# For each column, this many values are remembered, of texts up to this length.
_REMEMBERED, _SHORT = 5_000, 200


_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


def _title(word: str) -> str:
    """Return text in title case: O'NEILL becomes O'Neill, and DON'T becomes Don't."""
    head, mark, tail = word[:1].upper(), word[1:2], word[1:].lower()
    return head + (mark + word[2:3].upper() + word[3:].lower() if mark in ("'", "’") else tail)


_CLEANING: dict[str, Callable[[str], str]] = {
    "trim": str.strip,
    "collapse": lambda text: " ".join(text.split()),
    "strip-zero-decimals": lambda text: re.sub(r"^([+-]?\d+)\.0+$", r"\1", text),
    "upper": str.upper,
    "lower": str.lower,
    "title": lambda text: _WORD.sub(lambda word: _title(word[0]), text),
}
# A number and the text after it.
_SPLIT = re.compile(r"([+-]?[0-9.,]*(?:[eE][+-]?[0-9]+)?)(.*)", re.DOTALL)
_UNREADABLE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class CellReader:
    """Reads one column. Equal texts recur, so their values are remembered."""

    def __init__(self, column: Column, null: list[str]) -> None:
        self.column = column
        self.null = {text.strip() for text in (*null, *column.null)} | {""}
        self.cleaning = [_CLEANING[rule] for rule in column.clean]
        self.rewriting = [(re.compile(pattern), new) for pattern, new in column.rewrite]
        self.refusing = [(re.compile(refuse.matches), refuse.reason) for refuse in column.refuse]
        self.matching = re.compile(column.matches) if column.matches is not None else None
        self.bounds = (self._bound(column.minimum), self._bound(column.maximum))
        # The column that names the unit of each value.
        self.unit_column = column.unit_column
        self.known: dict[str, tuple[Value, str | None]] = {}

    def _bound(self, bound: float | str | None) -> Any:
        if not isinstance(bound, str):
            return bound
        if self.column.parse == "date":
            return date.fromisoformat(bound)
        return in_utc(self.column, datetime.fromisoformat(bound))

    def read(self, raw: Any, unit: str | None = None) -> tuple[Value, str | None]:
        """Return the value and the problem; at least one of them is None. `unit` is the value's own unit."""
        if isinstance(raw, date):
            return self._read_moment(raw)
        try:
            text = raw if type(raw) is str else _text_of(raw)
        except BadCell as problem:
            return None, str(problem)
        asked = text if unit is None else f"{text}\n{unit}"
        known = self.known.get(asked)
        if known is None:
            try:
                known = (self._value(text, unit), None)
            except BadCell as problem:
                known = (None, str(problem))
            if len(self.known) >= _REMEMBERED:
                self.known.clear()
            if len(asked) <= _SHORT:
                self.known[asked] = known
        return known

    def _read_moment(self, raw: date) -> tuple[Value, str | None]:
        """Read a cell that the workbook holds as a date or time rather than as text."""
        try:
            if self.column.parse == "date":
                return self._bounded(raw.date() if isinstance(raw, datetime) else raw), None
            if self.column.parse == "time":
                moment = raw if isinstance(raw, datetime) else datetime(raw.year, raw.month, raw.day)  # noqa: DTZ001
                return self._bounded(in_utc(self.column, moment)), None
        except BadCell as problem:
            return None, str(problem)
        return self.read(raw.isoformat())

    def _value(self, text: str, unit: str | None) -> Value:
        if text.strip() in self.null:
            return None
        if _UNREADABLE.search(text):
            raise BadCell(
                "holds bytes that are not valid in the file's encoding; the mapping can name another"
            )
        if _CONTROL.search(text):
            raise BadCell("holds control characters")
        text = self._tidy(text)
        if text in self.null:
            return None
        self._refuse(text)
        text = self._chosen(text)
        if self.column.unit is None:
            return self._bounded(_PARSING[self.column.parse](self.column, text))
        return self._bounded(_in_unit(self.column, text, unit))

    def _tidy(self, text: str) -> str:
        for clean in self.cleaning:
            text = clean(text)
        for pattern, new in self.rewriting:
            text = pattern.sub(new, text)
        return text

    def _refuse(self, text: str) -> None:
        for pattern, reason in self.refusing:
            if pattern.search(text):
                raise BadCell(reason)
        if self.matching is not None and self.matching.fullmatch(text) is None:
            raise BadCell(f"does not look like {self.matching.pattern}")

    def _chosen(self, text: str) -> str:
        choices = self.column.choices
        if choices is None:
            return text
        if text not in choices:
            raise BadCell("is not among the values that the mapping lists")
        return choices[text]

    def _outside(self) -> str:
        least, most = self.column.minimum, self.column.maximum
        if least is None:
            return f"is more than {most}"
        return f"is less than {least}" if most is None else f"is not between {least} and {most}"

    def _bounded(self, value: Any) -> Value:
        least, most = self.bounds
        if (least is not None and value < least) or (most is not None and value > most):
            raise BadCell(self._outside())
        return value  # type: ignore[no-any-return]


def _integer(_column: Column, text: str) -> int:
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text) is None:
        raise BadCell("is not a whole number")
    return int(text)


def _number(column: Column, text: str) -> float:
    if column.decimal == ",":
        text = text.replace(",", ".") if "." not in text else ""
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", text) is None:
        raise BadCell("is not a number")
    number = float(text)
    if not math.isfinite(number):
        raise BadCell("is too large a number")
    return number


def _in_unit(column: Column, text: str, unit: str | None) -> float:
    """Return the number in the column's unit. The number's own unit is written after it, in another
    column, or in the mapping.
    """
    found = _SPLIT.match(text)
    number, behind = (found[1], found[2].strip()) if found else ("", text)
    given = behind or unit or column.given_in
    if given is None:
        raise BadCell("names no unit, and the mapping does not say which it is in")
    if behind and unit and behind != unit:
        raise BadCell(f"names another unit than its column, {unit}")
    return converted(_number(column, number), given, column.unit or given)


def _boolean(column: Column, text: str) -> bool:
    if text.lower() in column.true:
        return True
    if text.lower() in column.false:
        return False
    raise BadCell("is neither yes nor no")


_PARSING: dict[str, Callable[[Column, str], Any]] = {
    "text": lambda _column, text: text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "date": date_of,
    "time": time_of,
}


def _text_of(raw: Any) -> str:
    """Return a cell as text: JSON and workbooks also have other values."""
    if raw is None:
        return ""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, list):
        raise BadCell("is a list instead of one value")
    if isinstance(raw, FormulaError):
        raise BadCell("holds a formula error instead of a value")
    return str(raw)


def as_text(value: Value) -> str:
    """Return a value for a text field."""
    if type(value) is str:
        return value
    if isinstance(value, datetime | date):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
