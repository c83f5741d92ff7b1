"""Pages: the arguments of a list and the result. Relay's connections are made of these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ColumnElement, Select, and_, func, literal_column, select, union_all
from sqlalchemy.orm import aliased

from tournee.api.errors import LimitExceeded, Rejected
from tournee.api.filters import where
from tournee.api.keyset import Order
from tournee.api.reading.unknown import Unknown
from tournee.api.relations import Viewer

DEFAULT_ROWS = 50
MOST_ROWS = 500
# Counting all rows of a long list takes a thousand times as long as reading a page of it.
MOST_COUNTED = 10_000


def at_most(rows: int) -> Any:
    """Return a limit; PostgreSQL plans better for one that is not a parameter."""
    return literal_column(str(int(rows)))


def counted(entity: Any, condition: ColumnElement[bool], *outer: Any, exact: bool) -> Any:
    """Return the number of rows, for each row of `outer`: at most one more than MOST_COUNTED unless exact."""
    rows: Select[Any] = select(literal_column("1").label("one")).select_from(entity).where(condition)
    rows = rows.correlate(*outer)
    if not exact:
        rows = rows.limit(at_most(MOST_COUNTED + 1))
    return select(func.count()).select_from(rows.subquery()).scalar_subquery()


@dataclass(frozen=True)
class Arguments:
    """The arguments of a list, checked."""

    order: Order
    limit: int
    backwards: bool = False
    after: str | Unknown | None = None
    before: str | Unknown | None = None
    filter: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, model: type[Any], given: Mapping[str, Any]) -> Arguments:
        """From what the field was given."""
        first, last = given.get("first"), given.get("last")
        if first is not None and last is not None:
            raise Rejected("Give either `first` or `last`.")
        limit = first if first is not None else last
        if limit is not None and limit < 0:
            raise Rejected("`first` and `last` must not be negative.")
        if limit is not None and limit > MOST_ROWS:
            raise LimitExceeded(f"A page holds at most {MOST_ROWS} rows.")
        return cls(
            Order.of(model, given.get("orderBy")),
            DEFAULT_ROWS if limit is None else limit,
            last is not None,
            given.get("after"),
            given.get("before"),
            given.get("filter"),
        )

    @cached_property
    def key(self) -> bytes:
        """The same for the same question, so that parents that ask it share a statement."""
        parts = [
            self.order.fingerprint, self.limit, self.backwards, self.after, self.before, self.filter
        ]  # fmt: skip
        return orjson.dumps(parts, default=str, option=orjson.OPT_SORT_KEYS)

    def clauses(self, entity: Any, viewer: Viewer) -> list[Any]:
        return self.order.clauses(entity, viewer, self.backwards)

    def condition(self, model: type[Any], entity: Any, viewer: Viewer) -> ColumnElement[bool]:
        """Return the condition of the filter and the cursors. Raises Rejected for one on what the viewer may
        not read.
        """
        cursors = self._beyond(entity, viewer, (False, True))
        return and_(where(model, entity, self.filter, viewer), *cursors)

    def _beyond(self, entity: Any, viewer: Viewer, directions: Iterable[bool]) -> list[ColumnElement[bool]]:
        """Return the conditions of the cursors: of `before`, which is backwards, and of `after`."""
        order = self.order
        cursors = [(self.before if backwards else self.after, backwards) for backwards in directions]
        return [
            order.beyond(entity, order.values(cursor), viewer, backwards)
            for cursor, backwards in cursors
            if cursor is not None
        ]

    def select(
        self, model: type[Any], entity: Any, viewer: Viewer, seen: ColumnElement[bool], *, in_runs: bool
    ) -> Select[Any]:
        """Select the rows of the page, and one more if there are more.

        In runs, each row is read from an index in the list's order; without, the database may also begin
        with the few rows that a person sees.
        """
        limit = at_most(self.limit + 1)
        if not in_runs or not self.order.is_indexed:
            condition = and_(seen, self.condition(model, entity, viewer))
            return select(entity).where(condition).order_by(*self.clauses(entity, viewer)).limit(limit)
        cursor = self.before if self.backwards else self.after
        values = None if cursor is None else self.order.values(cursor)
        others = self._beyond(entity, viewer, (not self.backwards,))
        condition = and_(seen, where(model, entity, self.filter, viewer), *others)
        runs = [
            select(entity).where(condition, run.condition).order_by(*run.clauses).limit(limit)
            for run in self.order.runs(entity, values, viewer, self.backwards)
        ]
        if len(runs) == 1:
            return runs[0]
        found = aliased(model, union_all(*(select(run.subquery()) for run in runs)).subquery())
        return select(found).order_by(*self.clauses(found, viewer)).limit(limit)


class Edge(NamedTuple):
    """A row with its cursor."""

    cursor: str
    node: Any


class PageInfo(NamedTuple):
    """Whether there are more rows, and from which cursor."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@dataclass
class Page:
    """Rows in the list's order, whichever way they were fetched; each with what its cursor needs beside."""

    rows: Sequence[Any]
    has_next: bool
    has_previous: bool
    order: Order
    count: Callable[[bool], Awaitable[int]]
    # In the history of a record: the number of its creation.
    created: int = 0

    @classmethod
    def of(cls, rows: Sequence[Any], arguments: Arguments, count: Callable[[bool], Awaitable[int]]) -> Page:
        """Make a page of the rows fetched: one more than asked for, if there are more."""
        more, rows = len(rows) > arguments.limit, rows[: arguments.limit]
        if arguments.backwards:
            return cls(rows[::-1], arguments.before is not None, more, arguments.order, count)
        return cls(rows, more, arguments.after is not None, arguments.order, count)

    @property
    def nodes(self) -> list[Any]:
        return [row for row, *_ in self.rows]

    @property
    def edges(self) -> list[Edge]:
        return [Edge(self.order.cursor(row, beside), row) for row, *beside in self.rows]

    @property
    def page_info(self) -> PageInfo:
        return PageInfo(
            self.has_next,
            self.has_previous,
            self.edges[0].cursor if self.rows else None,
            self.edges[-1].cursor if self.rows else None,
        )
