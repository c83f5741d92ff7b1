"""Orders of a list, and the cursors for them: the values after which the next page begins.

Nulls come last in either direction, and the key makes every order total, so that a page neither repeats nor
skips an unchanged row.
"""

from __future__ import annotations

import base64
import enum
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import BindParameter, ColumnElement, and_, bindparam, false, or_

from tournee.api.errors import InvalidCursor, LimitExceeded
from tournee.api.reading.unknown import Unknown
from tournee.kernel.declared import Declared
from tournee.kernel.fields import Field, fields
from tournee.kernel.log import Change
from tournee.kernel.times import read_date, read_time
from tournee.kernel.values import wire_value

MOST_KEYS = 5


class OrderDirection(enum.StrEnum):
    """Nulls come last in both."""

    ASC = "ASC"
    """Smallest first, or earliest, or A to Z."""
    DESC = "DESC"
    """Greatest first, or latest, or Z to A."""


@dataclass(frozen=True)
class Term:
    """One key of an order."""

    field: Field
    descending: bool

    def follows(self, column: Any, value: Any, backwards: bool) -> ColumnElement[bool]:
        """Return the condition for rows that this key alone puts after the value, or before it when going
        backwards.
        """
        if value is None:
            return column.is_not(None) if backwards else false()
        if not isinstance(value, BindParameter):
            # SQLAlchemy takes a bare True or False for a constant, which it does not compare.
            value = bindparam(None, value, type_=column.type)
        strictly = column < value if self.descending is not backwards else column > value
        return or_(strictly, column.is_(None)) if self.field.nullable and not backwards else strictly

    def clause(self, column: Any, backwards: bool) -> Any:
        clause = column.desc() if self.descending is not backwards else column.asc()
        if not self.field.nullable:
            return clause
        return clause.nulls_first() if backwards else clause.nulls_last()


@dataclass(frozen=True)
class Order:
    """A total order of a model's rows."""

    model: type[Any]
    terms: tuple[Term, ...]

    @classmethod
    def of(cls, model: type[Any], wanted: Sequence[dict[str, OrderDirection]] | None) -> Order:
        """Make an order from the argument `orderBy`; the key is added last, in the direction of the last
        term.
        """
        if len(wanted or ()) > MOST_KEYS:
            raise LimitExceeded(f"A list is ordered by at most {MOST_KEYS} fields.")
        named = {field.wire: field for field in fields(model)}
        terms = {
            name: Term(named[name], direction == OrderDirection.DESC)
            for one in wanted or ()
            for name, direction in one.items()
        }
        key = "seq" if model is Change else "id"
        if key not in terms:
            last = list(terms.values())[-1].descending if terms else False
            terms[key] = Term(named[key], last)
        return cls(model, tuple(terms.values()))

    @cached_property
    def fingerprint(self) -> str:
        text = ",".join(f"{term.field.name}:{term.descending}" for term in self.terms)
        return hashlib.sha256(f"{self.model.__name__}|{text}".encode()).hexdigest()[:8]

    def clauses(self, entity: Any, backwards: bool = False) -> list[Any]:
        """Return the terms of ORDER BY."""
        return [term.clause(getattr(entity, term.field.name), backwards) for term in self.terms]

    def beyond(self, entity: Any, values: Sequence[Any], backwards: bool = False) -> ColumnElement[bool]:
        """Return the condition for rows after the cursor's row, or before it when going backwards."""
        branches = []
        same: list[ColumnElement[bool]] = []
        for term, value in zip(self.terms, values, strict=True):
            column = getattr(entity, term.field.name)
            branches.append(and_(*same, term.follows(column, value, backwards)))
            same.append(column.is_(None) if value is None else column == value)
        return or_(*branches)

    def cursor(self, row: Any) -> str:
        return cursor(self.fingerprint, [wire_value(getattr(row, term.field.name)) for term in self.terms])

    def values(self, cursor: str | Unknown) -> list[Any]:
        """Return the values that a cursor holds; raises InvalidCursor unless this order made it."""
        if isinstance(cursor, Unknown):
            return cursor.parts(self.values, [term.field.nullable for term in self.terms])
        try:
            text = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
            fingerprint, *values = orjson.loads(text)
            if fingerprint != self.fingerprint:
                raise InvalidCursor
            return [_value(term.field, value) for term, value in zip(self.terms, values, strict=True)]
        except (ValueError, TypeError, AttributeError, OverflowError):
            raise InvalidCursor from None


def cursor(fingerprint: str, values: Iterable[Any]) -> str:
    """Return the cursor of a row with these values, as they stand in documents."""
    text = orjson.dumps([fingerprint, *values], option=orjson.OPT_UTC_Z)
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _value(field: Field, value: Any) -> Any:
    """Read a cursor's value as its column has it; raises ValueError for one that it could not hold."""
    if value is None and field.nullable:
        return None
    kind = field.type
    if kind in (UUID, datetime, date) or issubclass(kind, enum.Enum):
        return _READ.get(kind, kind)(value)
    if issubclass(kind, Declared):
        return kind.named(value)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise InvalidCursor
    if isinstance(value, str) and "\x00" in value:
        raise InvalidCursor
    if kind is int and abs(int(value)) >= (2**53 if field.name == "seq" else 2**31):
        raise InvalidCursor
    return value


_READ: dict[Any, Any] = {datetime: read_time, date: read_date}
