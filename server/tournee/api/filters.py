"""Filters and orders of lists: the input types of each model, and what they mean in SQL.

A filter reaches the resolver as the mapping of GraphQL names that the client sent, and `where` gives its
meaning. What is absent is no condition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from functools import cache
from typing import Any
from uuid import UUID

import strawberry
from sqlalchemy import ColumnElement, and_, false, or_, true

from tournee.api.errors import LimitExceeded, Rejected
from tournee.api.inputs import input_type
from tournee.api.keyset import OrderDirection
from tournee.api.reading.unknown import bound
from tournee.api.scalars import Long, enumeration, is_enumeration, optional, parse_id
from tournee.kernel.fields import Field, fields
from tournee.kernel.folding import fold, folded
from tournee.kernel.log import Change

MOST_CONDITIONS = 100
MOST_VALUES = 1000
MOST_CHARACTERS = 1000

_MEANINGS: dict[str, str | None] = {
    "eq": "The value equals this; null matches rows without a value.",
    "ne": "The value differs from this; null matches rows with a value.",
    "in": "The value is one of these.",
    "notIn": "The value is none of these; rows without a value count.",
    "isNull": "True for rows without a value, false for rows with one.",
    "lt": "The value is less, or earlier.",
    "lte": "The value is this, less or earlier.",
    "gt": "The value is greater, or later.",
    "gte": "The value is this, greater or later.",
    "contains": "This text occurs in the value, whatever the case, accents and width of either.",
    "startsWith": "The value starts with this text, whatever the case, accents and width of either.",
    "and": "All of these must hold.",
    "or": "At least one of these must hold.",
    "not": "This must not hold.",
}
_EQUALITY: tuple[str, ...] = ("eq", "ne", "in", "notIn", "isNull")
_RANGE = ("lt", "lte", "gt", "gte")
_TEXT = ("contains", "startsWith")
_COMPARATORS: dict[Any, tuple[str, Any, tuple[str, ...]]] = {
    str: ("StringFilter", str, _EQUALITY + _RANGE + _TEXT),
    UUID: ("IDFilter", strawberry.ID, _EQUALITY),
    int: ("IntFilter", int, _EQUALITY + _RANGE),
    Long: ("LongFilter", Long, _EQUALITY + _RANGE),
    float: ("FloatFilter", float, _EQUALITY + _RANGE),
    bool: ("BooleanFilter", bool, ("eq", "ne", "isNull")),
    datetime: ("DateTimeFilter", datetime, _EQUALITY + _RANGE),
    date: ("DateFilter", date, _EQUALITY + _RANGE),
}

# Text columns of the log that hold JSON, by which nobody filters or sorts.
_UNCOMPARED = {Change: {"fields", "before", "after"}}


# Derived values by which lists can be filtered: for each its type, a function of the row to its SQL, and its
# description.
DERIVED: dict[type[Any], dict[str, tuple[Any, Callable[[Any], Any], str]]] = {}


def comparable(model: type[Any]) -> Iterator[Field]:
    """Return the fields by which a list can be filtered and ordered: all but lists and documents."""
    for field in fields(model):
        if isinstance(field.type, type) and field.name not in _UNCOMPARED.get(model, ()):
            yield field


@cache
def _comparator(kind: Any) -> Any:
    if is_enumeration(kind):
        name, value, operators = f"{kind.__name__}Filter", enumeration(kind), _EQUALITY
    else:
        name, value, operators = _COMPARATORS[kind]
    shapes = {"in": list[value], "notIn": list[value], "isNull": bool}  # type: ignore[valid-type]
    annotations = {operator: optional(shapes.get(operator, value)) for operator in operators}
    case = " `contains` and `startsWith` ignore case, accents and width." if kind is str else ""
    text = f"Conditions on one value; all given ones must hold.{case}"
    return input_type(name, annotations, text, descriptions=_MEANINGS)


@cache
def filter_type(model: Any) -> Any:
    """Make `CustomerFilter`."""
    annotations: dict[str, Any] = {}
    for field in comparable(model):
        kind = Long if (model, field.name) == (Change, "seq") else field.of or field.type
        annotations[field.wire] = optional(_comparator(kind))
    for name, (kind, _, _) in DERIVED.get(model, {}).items():
        annotations[name] = optional(_comparator(kind))
    return input_type(
        f"{model.__name__}Filter",
        annotations,
        "Conditions on a row; all given ones must hold.",
        recursive=True,
        descriptions=_described(model),
    )


@cache
def order_type(model: Any) -> Any:
    """Make `CustomerOrder`: exactly one field and its direction."""
    direction = enumeration(OrderDirection)
    annotations: dict[str, Any] = {field.wire: optional(direction) for field in comparable(model)}
    return input_type(
        f"{model.__name__}Order",
        annotations,
        "One field and the direction to order by.",
        one_of=True,
        descriptions=_described(model),
    )


def _described(model: Any) -> dict[str, str | None]:
    """Return the description of each field, from the model, and of each combination of conditions."""
    own = {field.wire: field.description for field in fields(model)}
    return own | _MEANINGS | {name: text for name, (_, _, text) in DERIVED.get(model, {}).items()}


def where(model: type[Any], entity: Any, given: Mapping[str, Any] | None) -> ColumnElement[bool]:
    """Return the SQL of a filter. `entity` is the model, or an alias of it."""
    columns = {field.wire: (field.type, getattr(entity, field.name)) for field in comparable(model)}
    derived = {name: (kind, made(entity)) for name, (kind, made, _) in DERIVED.get(model, {}).items()}
    return _where(columns | derived, given or {}, _Budget())


class _Budget:
    """How much one filter may still contain. Empty conditions count: they become SQL too."""

    def __init__(self) -> None:
        self.conditions = MOST_CONDITIONS
        self.values = MOST_VALUES

    def spend(self, conditions: int) -> None:
        self.conditions -= conditions
        if self.conditions < 0:
            raise LimitExceeded(f"A filter holds at most {MOST_CONDITIONS} conditions.")

    def spend_values(self, values: int) -> None:
        self.values -= values
        if self.values < 0:
            raise LimitExceeded(f"The lists of a filter hold at most {MOST_VALUES} values.")


def _where(
    named: Mapping[str, tuple[Any, Any]], given: Mapping[str, Any], budget: _Budget
) -> ColumnElement[bool]:
    parts: list[ColumnElement[bool]] = [true()]
    for name, value in given.items():
        # An empty condition and an empty list count as one.
        budget.spend(max(1, len(value or ())))
        if value is None:
            continue
        if name == "and":
            parts += [_where(named, one, budget) for one in value]
        elif name == "or":
            parts.append(or_(false(), *(_where(named, one, budget) for one in value)))
        elif name == "not":
            parts.append(_where(named, value, budget).is_not(True))
        else:
            kind, column = named[name]
            parts += [_condition(kind, column, *one, budget=budget) for one in value.items()]
    return and_(*parts)


def named_in(given: Mapping[str, Any]) -> set[str]:
    """Return the fields that a filter names, at any depth."""
    found: set[str] = set()
    for name, value in given.items():
        if name in ("and", "or", "not"):
            for one in value if isinstance(value, list) else [value]:
                found |= named_in(one or {})
        else:
            found.add(name)
    return found


def _condition(kind: Any, column: Any, operator: str, value: Any, *, budget: _Budget) -> ColumnElement[bool]:
    if value is None:
        nothing: ColumnElement[bool] = column.is_(None)
        return {"eq": nothing, "ne": ~nothing}.get(operator, true())
    if operator == "isNull":
        return column.is_(None) if value else column.is_not(None)  # type: ignore[no-any-return]
    read = _id if kind is UUID else _READ.get(operator, _text)
    if isinstance(value, list):
        budget.spend_values(len(value))
        return _OPERATORS[operator](
            column, [bound(one, read, column.type) for one in value if one is not None]
        )
    return _OPERATORS[operator](column, bound(value, read, column.type))


def _text(value: Any) -> Any:
    """Return the value, unless it is a text that no row can hold."""
    if isinstance(value, str) and "\x00" in value:
        raise Rejected("A text cannot hold a NUL character.")
    return value


def _part(value: str) -> str:
    """Return a part of a text as LIKE takes it."""
    if len(_text(value)) > MOST_CHARACTERS:
        raise LimitExceeded(f"What a text contains or starts with has at most {MOST_CHARACTERS} characters.")
    folded_part: str = fold(value)  # type: ignore[assignment]
    for special in (_ESCAPE, "%", "_"):
        folded_part = folded_part.replace(special, _ESCAPE + special)
    return folded_part


def _id(value: str) -> UUID:
    """Read an id; text that is no id stands for one that does not exist."""
    return parse_id(_text(value)) or UUID(int=0)


_ESCAPE = "/"
_READ: dict[str, Callable[[Any], Any]] = dict.fromkeys(_TEXT, _part)


def _not_in(column: Any, values: list[Any]) -> ColumnElement[bool]:
    return or_(column.is_(None), column.not_in(values))


_OPERATORS: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "eq": lambda column, value: column == value,
    "ne": lambda column, value: column.is_distinct_from(value),
    "in": lambda column, values: column.in_(values),
    "notIn": _not_in,
    "lt": lambda column, value: column < value,
    "lte": lambda column, value: column <= value,
    "gt": lambda column, value: column > value,
    "gte": lambda column, value: column >= value,
    "contains": lambda column, value: folded(column).contains(value, escape=_ESCAPE),
    "startsWith": lambda column, value: folded(column).startswith(value, escape=_ESCAPE),
}
