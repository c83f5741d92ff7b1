"""Orders of a list, and the cursors for them: the values after which the next page begins.

Nulls come last in either direction, and the key makes every order total, so that a page neither repeats nor
skips an unchanged row.
"""

from __future__ import annotations

import base64
import enum
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import BindParameter, ColumnElement, Table, and_, bindparam, false, or_, select, true

from tournee.api.errors import InvalidCursor, LimitExceeded
from tournee.api.reading.unknown import Unknown
from tournee.api.relations import Viewer, relations, require_readable
from tournee.kernel.declared import Declared
from tournee.kernel.fields import Field, field_named, fields
from tournee.kernel.log import Change
from tournee.kernel.ranks import enumeration_of, names, rank, rank_index, ranked
from tournee.kernel.times import read_date, read_time
from tournee.kernel.values import wire_value

MOST_KEYS = 5
MOST_PATH = 3


class OrderDirection(enum.StrEnum):
    """The direction of an order. Nulls come last in either direction."""

    ASC = "ASC"
    """Smallest or earliest first, or A to Z; enum values in the order of their declaration."""
    DESC = "DESC"
    """Largest or latest first, or Z to A; enum values in reverse order of their declaration."""


@dataclass(frozen=True)
class Run:
    """Rows that stand together in an order: those that meet a condition, sorted by the clauses."""

    condition: ColumnElement[bool]
    clauses: list[Any]


@dataclass(frozen=True)
class Term:
    """One key of an order: a field of the row, or of the row to which a path of relations leads."""

    field: Field
    descending: bool
    path: tuple[str, ...] = ()

    @classmethod
    def of(cls, model: type[Any], wanted: Mapping[str, Any]) -> Term:
        """Make a term from one entry of `orderBy`."""
        path: list[str] = []
        ((name, direction),) = wanted.items()
        while isinstance(direction, Mapping):
            path.append(name)
            model = relations(model)[name].target
            ((name, direction),) = direction.items()
        if len(path) > MOST_PATH:
            raise LimitExceeded(f"An order goes through at most {MOST_PATH} relations.")
        named = {field.wire: field for field in fields(model)}
        return cls(named[name], direction == OrderDirection.DESC, tuple(path))

    @property
    def name(self) -> str:
        return ".".join((*self.path, self.field.name))

    @property
    def nullable(self) -> bool:
        return self.field.nullable or bool(self.path)

    def key(self, model: type[Any], entity: Any, viewer: Viewer) -> Any:
        """Return what rows are compared by: of an enum, the place in its order."""
        kind = enumeration_of(self.field)
        place: Callable[[Any], Any] = _as_it_is if kind is None else lambda own: ranked(own, kind)
        return _reached(model, entity, viewer, self.path, self.field, place)

    def value(self, model: type[Any], entity: Any, viewer: Viewer) -> Any:
        """Return the value itself, for a cursor."""
        return _reached(model, entity, viewer, self.path, self.field, _as_it_is)

    def runs(self, column: Any, after: tuple[Any] | None, backwards: bool) -> list[Run]:
        """Return the rows that this key alone puts after a value, or all rows: those with a value and those
        with null, in the order of the list.
        """
        ascending = self.descending is backwards
        clauses = [column.asc() if ascending else column.desc()]
        if after is None or after[0] is None:
            condition = column.is_not(None) if self.nullable else true()
        else:
            value = after[0]
            if not isinstance(value, BindParameter):
                # SQLAlchemy takes a bare True or False for a constant, which it does not compare.
                value = bindparam(None, value, type_=column.type)
            condition = column > value if ascending else column < value
        values = Run(condition, clauses)
        if not self.nullable:
            return [values]
        nulls = Run(column.is_(None), [])
        if after is None:
            return [nulls, values] if backwards else [values, nulls]
        if backwards:
            return [values]
        return [] if after[0] is None else [values, nulls]

    def is_indexed(self, table: Table) -> bool:
        """Return whether an index lists the rows of an organisation by this key."""
        if self.path:
            return False
        own = self.field.name
        if (kind := enumeration_of(self.field)) is not None:
            own = str(rank_index(table.name, own, kind).expressions[1])
        known: list[list[Any]] = [list(index.expressions) for index in table.indexes]
        known.append(list(table.primary_key.columns))
        return any(len(one) > 1 and getattr(one[1], "name", str(one[1])) == own for one in known)

    def clause(self, column: Any, backwards: bool) -> Any:
        clause = column.desc() if self.descending is not backwards else column.asc()
        if not self.nullable:
            return clause
        return clause.nulls_first() if backwards else clause.nulls_last()


def _as_it_is(column: Any) -> Any:
    return column


def _reached(
    model: type[Any],
    entity: Any,
    viewer: Viewer,
    path: Sequence[str],
    field: Field,
    made: Callable[[Any], Any],
) -> Any:
    """Return what is `made` of the field's column in the row to which the path leads; null if there is none
    that the viewer sees. Raises Rejected if the viewer may not read the field.
    """
    require_readable(viewer, model, path[0] if path else field.wire)
    if not path:
        return made(getattr(entity, field.name))
    relation = relations(model)[path[0]]
    target = viewer.alias(relation.target)
    found = _reached(relation.target, target, viewer, path[1:], field, made)
    seen = viewer.visible(relation.target, target)
    return select(found).where(relation.named(entity, target), seen).correlate(entity).scalar_subquery()


@dataclass(frozen=True)
class Order:
    """A total order of a model's rows."""

    model: type[Any]
    terms: tuple[Term, ...]

    @classmethod
    def of(cls, model: Any, wanted: Sequence[Mapping[str, Any]] | None) -> Order:
        """Make an order from the argument `orderBy`; the key is added last, in the direction of the last
        term.
        """
        if len(wanted or ()) > MOST_KEYS:
            raise LimitExceeded(f"A list is ordered by at most {MOST_KEYS} fields.")
        terms = {term.name: term for term in (Term.of(model, one) for one in wanted or ())}
        key = "seq" if model is Change else "id"
        if key not in terms:
            last = list(terms.values())[-1].descending if terms else False
            terms[key] = Term(field_named(model, key), last)
        return cls(model, tuple(terms.values()))

    @cached_property
    def fingerprint(self) -> str:
        """Return a text that is equal for equal orders. It has the values of an enum, because another version
        of the server may have a value in between.
        """
        text = ",".join(f"{term.name}:{term.descending}{_order_of(term.field)}" for term in self.terms)
        return hashlib.sha256(f"{self.model.__name__}|{text}".encode()).hexdigest()[:8]

    def clauses(self, entity: Any, viewer: Viewer, backwards: bool = False) -> list[Any]:
        """Return the terms of ORDER BY."""
        return [term.clause(term.key(self.model, entity, viewer), backwards) for term in self.terms]

    @cached_property
    def is_indexed(self) -> bool:
        """Whether an index lists the rows of an organisation by the first key."""
        return self.terms[0].is_indexed(self.model.__table__)

    def runs(
        self, entity: Any, values: Sequence[Any] | None, viewer: Viewer, backwards: bool = False
    ) -> list[Run]:
        """Return the rows after the cursor's row, or all rows, in runs that follow one another.

        Each run is one range of an index, in one direction of it. A condition that holds for all of them
        makes the databases walk the index from its start.
        """
        found = []
        columns = [term.key(self.model, entity, viewer) for term in self.terms]
        for level in reversed(range(len(self.terms) if values is not None else 1)):
            same = [
                column.is_(None) if value is None else column == value
                for column, value in zip(columns[:level], values or (), strict=False)
            ]
            rest = [
                term.clause(column, backwards)
                for term, column in zip(self.terms[level + 1 :], columns[level + 1 :], strict=True)
            ]
            after = None if values is None else (values[level],)
            found += [
                Run(and_(*same, run.condition), [*run.clauses, *rest])
                for run in self.terms[level].runs(columns[level], after, backwards)
            ]
        return found

    def beyond(
        self, entity: Any, values: Sequence[Any], viewer: Viewer, backwards: bool = False
    ) -> ColumnElement[bool]:
        """Return the condition for rows after the cursor's row, or before it when going backwards."""
        runs = self.runs(entity, values, viewer, backwards)
        return or_(false(), *(run.condition for run in runs))

    def beside(self, entity: Any, viewer: Viewer) -> list[Any]:
        """Return what has to be selected beside a row for its cursor: the values of related rows."""
        related = [term.value(self.model, entity, viewer) for term in self.terms if term.path]
        return [value.label(f"beside_{place}") for place, value in enumerate(related)]

    def cursor(self, row: Any, beside: Iterable[Any] = ()) -> str:
        related = iter(beside)
        values = [next(related) if term.path else getattr(row, term.field.name) for term in self.terms]
        return cursor(self.fingerprint, map(wire_value, values))

    def values(self, cursor: str | Unknown) -> list[Any]:
        """Return the values that a cursor holds; raises InvalidCursor unless this order made it."""
        if isinstance(cursor, Unknown):
            return cursor.parts(self.values, [term.nullable for term in self.terms])
        try:
            text = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
            fingerprint, *values = orjson.loads(text)
            if fingerprint != self.fingerprint:
                raise InvalidCursor
            return [_value(term, value) for term, value in zip(self.terms, values, strict=True)]
        except (ValueError, TypeError, AttributeError, OverflowError):
            raise InvalidCursor from None


def cursor(fingerprint: str, values: Iterable[Any]) -> str:
    """Return the cursor of a row with these values, as they stand in documents."""
    text = orjson.dumps([fingerprint, *values], option=orjson.OPT_UTC_Z)
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def _order_of(field: Field) -> str:
    kind = enumeration_of(field)
    return "" if kind is None else f":{'<'.join(names(kind))}"


def _value(term: Term, value: Any) -> Any:
    """Read a cursor's value as its term compares it; raises ValueError for one that its column could not
    hold.
    """
    if value is None and term.nullable:
        return None
    field = term.field
    kind = field.type
    if kind in (UUID, datetime, date):
        return _READ.get(kind, kind)(value)
    if (named := enumeration_of(field)) is not None:
        return rank(named.named(value) if issubclass(named, Declared) else named(value))
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
