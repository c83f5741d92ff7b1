"""Filters and orders of lists: the input types of each model, and what they mean in SQL.

A filter reaches the resolver as the mapping of GraphQL names that the client sent, and `where` gives its
meaning. What is absent is no condition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from functools import cache
from typing import Any
from uuid import UUID

import strawberry
from sqlalchemy import ColumnElement, Integer, String, and_, false, not_, or_, true

from tournee.api.errors import LimitExceeded, Rejected
from tournee.api.inputs import add_inputs, input_type
from tournee.api.keyset import OrderDirection
from tournee.api.mapping import ToOne
from tournee.api.reading.unknown import bound
from tournee.api.relations import (
    Relation,
    Viewer,
    exists_related,
    relations,
    require_readable,
)
from tournee.api.scalars import Long, enumeration, optional, parse_id
from tournee.kernel.fields import Field, fields
from tournee.kernel.folding import fold, folded
from tournee.kernel.listed import has_text
from tournee.kernel.log import Change
from tournee.kernel.ranks import is_enumeration, rank, ranked

MOST_CONDITIONS = 100
MOST_RELATIONS = 10
MOST_RELATION_DEPTH = 3
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
    "contains": "The value contains this text. Case, accents and character width are ignored.",
    "startsWith": "The value starts with this text. Case, accents and character width are ignored.",
    "has": "The list contains this value.",
    "hasSome": "The list contains at least one of these values.",
    "hasEvery": "The list contains all of these values.",
    "some": "At least one record meets these conditions.",
    "none": "No record meets these conditions.",
    "every": "Every record meets these conditions; true for an empty list.",
    "and": "All of these must hold.",
    "or": "At least one of these must hold.",
    "not": "This must not hold.",
}
_EQUALITY: tuple[str, ...] = ("eq", "ne", "in", "notIn", "isNull")
_RANGE = ("lt", "lte", "gt", "gte")
_TEXT = ("contains", "startsWith")
_LIST = ("has", "hasSome", "hasEvery")
_MANY = ("in", "notIn", "hasSome", "hasEvery")
_COMPARATORS: dict[Any, tuple[str, Any, tuple[str, ...]]] = {
    str: ("StringFilter", str, _EQUALITY + _RANGE + _TEXT),
    UUID: ("IDFilter", strawberry.ID, _EQUALITY),
    int: ("IntFilter", int, _EQUALITY + _RANGE),
    Long: ("LongFilter", Long, _EQUALITY + _RANGE),
    float: ("FloatFilter", float, _EQUALITY + _RANGE),
    bool: ("BooleanFilter", bool, ("eq", "ne", "isNull")),
    datetime: ("DateTimeFilter", datetime, _EQUALITY + _RANGE),
    date: ("DateFilter", date, _EQUALITY + _RANGE),
    list[str]: ("StringListFilter", str, _LIST),
    list[UUID]: ("IDListFilter", strawberry.ID, _LIST),
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


def _filterable(model: type[Any]) -> Iterator[Field]:
    yield from comparable(model)
    yield from (field for field in fields(model) if field.type == list[str])


def _kind(field: Field) -> Any:
    """Return the type whose comparisons a field has."""
    if field.type == list[str]:
        return list[field.of or str]  # type: ignore[misc]
    return field.of or field.type


@cache
def _comparator(kind: Any) -> Any:
    if is_enumeration(kind):
        name, value, operators = f"{kind.__name__}Filter", enumeration(kind), _EQUALITY + _RANGE
    else:
        name, value, operators = _COMPARATORS[kind]
    shapes = dict.fromkeys(_MANY, list[value]) | {"isNull": bool}  # type: ignore[valid-type]
    annotations = {operator: optional(shapes.get(operator, value)) for operator in operators}
    text = "Conditions on one value; all given ones must hold."
    if is_enumeration(kind):
        text += " Values compare in the order in which the enum declares them."
    return input_type(name, annotations, text, descriptions=_MEANINGS)


@cache
def filter_type(model: Any) -> Any:
    """Make `CustomerFilter`."""
    annotations: dict[str, Any] = {}
    for field in _filterable(model):
        kind = Long if (model, field.name) == (Change, "seq") else _kind(field)
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
def _list_filter_type(model: Any) -> Any:
    """Make `CustomerListFilter`."""
    own = optional(filter_type(model))
    return input_type(
        f"{model.__name__}ListFilter",
        dict.fromkeys(("some", "none", "every"), own),
        "Conditions on a list of records; all given ones must hold. Only records that you may see count.",
        descriptions=_MEANINGS,
    )


def relate(models: Iterable[Any]) -> None:
    """Add the relations of these models to their filters and orders, once all relations are declared."""
    for model in models:
        known: dict[str, tuple[Any, bool]] = {
            name: (one.target, isinstance(one.source, ToOne)) for name, one in relations(model).items()
        }
        conditions = {
            name: optional(filter_type(target) if to_one else _list_filter_type(target))
            for name, (target, to_one) in known.items()
        }
        said = {name: _SEEN if to_one else _LISTED for name, (_, to_one) in known.items()}
        add_inputs(filter_type(model), conditions, said)
        orders = {name: optional(order_type(target)) for name, (target, to_one) in known.items() if to_one}
        add_inputs(order_type(model), orders, dict.fromkeys(orders, _BY_RELATED))


_SEEN = "The related record exists, you may see it, and it meets these conditions."
_LISTED = "Conditions on the related records."
_BY_RELATED = "Order by a field of the related record. Rows come last if they have none that you may see."


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


def where(
    model: type[Any], entity: Any, given: Mapping[str, Any] | None, viewer: Viewer
) -> ColumnElement[bool]:
    """Return the SQL of a filter. `entity` is the model, or an alias of it. Raises Rejected for a condition
    on what the viewer may not read.
    """
    return _Row(model, entity, viewer, _Budget()).all_of(given or {})


class _Budget:
    """How much one filter may still contain. Empty conditions count: they become SQL too."""

    def __init__(self) -> None:
        self.conditions = MOST_CONDITIONS
        self.values = MOST_VALUES
        self.relations = MOST_RELATIONS

    def spend(self, conditions: int) -> None:
        self.conditions -= conditions
        if self.conditions < 0:
            raise LimitExceeded(f"A filter holds at most {MOST_CONDITIONS} conditions.")

    def spend_values(self, values: int) -> None:
        self.values -= values
        if self.values < 0:
            raise LimitExceeded(f"The lists of a filter hold at most {MOST_VALUES} values.")

    def spend_relation(self, depth: int) -> None:
        """Count a relation inside `depth` others; the cost multiplies with each of them."""
        self.relations -= 1
        if self.relations < 0:
            raise LimitExceeded(f"A filter holds at most {MOST_RELATIONS} conditions on relations.")
        if depth >= MOST_RELATION_DEPTH:
            raise LimitExceeded(f"A filter goes through at most {MOST_RELATION_DEPTH} relations in a row.")


class _Row:
    """A row that conditions apply to: a row of the list, or one reached from it through `depth` relations."""

    def __init__(
        self, model: type[Any], entity: Any, viewer: Viewer, budget: _Budget, depth: int = 0
    ) -> None:
        self.model = model
        self.entity = entity
        self.viewer = viewer
        self.budget = budget
        self.depth = depth
        self._columns = {field.wire: (_kind(field), field.name) for field in _filterable(model)}

    def all_of(self, given: Mapping[str, Any]) -> ColumnElement[bool]:
        parts: list[ColumnElement[bool]] = [true()]
        for name, value in given.items():
            # An empty condition and an empty list count as one.
            self.budget.spend(max(1, len(value or ())))
            if value is None:
                continue
            if name == "and":
                parts += [self.all_of(one) for one in value]
            elif name == "or":
                parts.append(or_(false(), *(self.all_of(one) for one in value)))
            elif name == "not":
                parts.append(self.all_of(value).is_not(True))
            else:
                parts += self._on(name, value)
        return and_(*parts)

    def _on(self, name: str, value: Mapping[str, Any]) -> list[ColumnElement[bool]]:
        """Return the conditions on a field or a relation."""
        require_readable(self.viewer, self.model, name)
        relation = relations(self.model).get(name)
        if relation is None:
            kind, column = self._column(name)
            return [_condition(kind, column, *one, budget=self.budget) for one in value.items()]
        if isinstance(relation.source, ToOne):
            return [self.exists(relation, value)]
        return [
            _QUANTIFIERS[quantifier](self, relation, one)
            for quantifier, one in value.items()
            if one is not None
        ]

    def _column(self, name: str) -> tuple[Any, Any]:
        if name in self._columns:
            kind, own = self._columns[name]
            return kind, getattr(self.entity, own)
        kind, made, _ = DERIVED[self.model][name]
        return kind, made(self.entity)

    def exists(
        self, relation: Relation, given: Mapping[str, Any], *, unless: bool = False
    ) -> ColumnElement[bool]:
        """Return whether there is a related row that meets these conditions, or with `unless` one that does
        not meet them.
        """
        self.budget.spend_relation(self.depth)
        target = self.viewer.alias(relation.target)
        row = _Row(relation.target, target, self.viewer, self.budget, self.depth + 1)
        condition = row.all_of(given)
        return exists_related(
            self.viewer, relation, self.entity, target, condition.is_not(True) if unless else condition
        )


_QUANTIFIERS: dict[str, Callable[[_Row, Relation, Mapping[str, Any]], ColumnElement[bool]]] = {
    "some": lambda row, relation, given: row.exists(relation, given),
    "none": lambda row, relation, given: not_(row.exists(relation, given)),
    "every": lambda row, relation, given: not_(row.exists(relation, given, unless=True)),
}


def _condition(kind: Any, column: Any, operator: str, value: Any, *, budget: _Budget) -> ColumnElement[bool]:
    if value is None:
        nothing: ColumnElement[bool] = column.is_(None)
        return {"eq": nothing, "ne": ~nothing}.get(operator, true())
    if operator == "isNull":
        return column.is_(None) if value else column.is_not(None)  # type: ignore[no-any-return]
    read, type_ = _id if kind is UUID else _READ.get(operator, _text), column.type
    if operator in _LIST:
        read, type_ = _listed_id if kind == list[UUID] else _text, String()
    if operator in _RANGE and is_enumeration(kind):
        column, read, type_ = ranked(column, kind), rank, Integer()
    if isinstance(value, list):
        budget.spend_values(len(value))
        # Each of these searches the list.
        budget.spend(len(value) if operator in _LIST else 0)
        return _OPERATORS[operator](column, [bound(one, read, type_) for one in value if one is not None])
    return _OPERATORS[operator](column, bound(value, read, type_))


def _text(value: Any) -> Any:
    """Return the value, unless it is a text that no row can hold."""
    if isinstance(value, str) and "\x00" in value:
        raise Rejected("A text cannot hold a NUL character.")
    return value


def _part(value: str) -> str:
    """Return a part of a text as LIKE takes it."""
    if len(_text(value)) > MOST_CHARACTERS:
        raise LimitExceeded(f"`contains` and `startsWith` take at most {MOST_CHARACTERS} characters.")
    folded_part: str = fold(value)  # type: ignore[assignment]
    for special in (_ESCAPE, "%", "_"):
        folded_part = folded_part.replace(special, _ESCAPE + special)
    return folded_part


def _id(value: str) -> UUID:
    """Read an id; text that is no id stands for one that does not exist."""
    return parse_id(_text(value)) or UUID(int=0)


def _listed_id(value: str) -> str:
    """Read an id as lists of ids hold it."""
    return str(_id(value))


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
    "has": has_text,
    "hasSome": lambda column, values: or_(false(), *(has_text(column, one) for one in values)),
    "hasEvery": lambda column, values: and_(true(), *(has_text(column, one) for one in values)),
}
