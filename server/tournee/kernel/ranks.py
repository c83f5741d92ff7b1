"""Enums in the order of their declaration: LOW, NORMAL, HIGH, URGENT, and not by their names."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Index, Integer, case, literal_column, text

from tournee.kernel.declared import Declared
from tournee.kernel.fields import Field


def is_enumeration(kind: Any) -> bool:
    """Return whether values of this type are an enum's, or names that domains declare."""
    return isinstance(kind, type) and issubclass(kind, enum.Enum | Declared)


def enumeration_of(field: Field) -> Any:
    """Return the enum whose values a field has; None if it has others."""
    kind = field.of or field.type
    return kind if is_enumeration(kind) else None


def names(kind: type[enum.Enum | Declared]) -> Sequence[str]:
    """Return the names that a column of this type holds, in their order."""
    return [str(one) for one in kind.all()] if issubclass(kind, Declared) else _members(kind)


@cache
def _members(kind: type[enum.Enum]) -> Sequence[str]:
    return [one.name for one in kind]


def rank(value: enum.Enum | Declared) -> int:
    """Return the place of a value in its order."""
    return names(type(value)).index(value.name if isinstance(value, enum.Enum) else str(value))


def ranked(column: Any, kind: type[enum.Enum | Declared]) -> ColumnElement[int]:
    """Return the place of a column's value in its order; null for null.

    It has no parameters, since the planner compares it with the expression of an index.
    """
    places = [(_literal(f"'{name}'"), _literal(str(at))) for at, name in enumerate(names(kind))]
    return case(*places, value=column)


def _literal(sql: str) -> ColumnElement[int]:
    return literal_column(sql, Integer())


def rank_index(table: str, column: str, kind: type[enum.Enum | Declared]) -> Index:
    """Return an index for lists in the order of this column, and then of their ids."""
    places = " ".join(f"WHEN '{name}' THEN {at}" for at, name in enumerate(names(kind)))
    expression = text(f"(CASE {column} {places} END)")
    return Index(f"ix_{table}_{column}_rank", "organisation_id", expression, "id")
