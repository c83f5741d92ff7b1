"""Blocks: one SELECT each, of a table, of the rows joined to it one for one, and of what is selected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Any

from graphql import GraphQLOutputType
from sqlalchemy import ColumnElement, Select, Uuid, and_, bindparam, select
from sqlalchemy.orm import aliased, outerjoin

from tournee.api.load import readable
from tournee.api.mapping import Person, ToOne
from tournee.api.pages import at_most
from tournee.api.reading import sql
from tournee.api.reading.building import Code
from tournee.api.reading.columns import codec, python_of
from tournee.api.reading.unknown import Doubt
from tournee.kernel.actor import Actor
from tournee.kernel.log import Change, Record
from tournee.kernel.question import OWN

# The parameter for who asks.
ACCOUNT = bindparam("account_id", type_=Uuid())

# PostgreSQL's functions take 100 arguments, SQLite's 127; SQLite joins 64 tables.
_MOST_INSIDE = 90
_MOST_JOINS = 30


@lru_cache(1_000)
def _alias(model: Any, number: int) -> Any:
    """Return an alias; making one takes longer than all the rest of a small plan."""
    return aliased(model, name=f"t{number}")


@dataclass
class Tables:
    """Makes the aliases of one operation, each with its visibility for actors like this one."""

    actor: Actor

    def __post_init__(self) -> None:
        self._numbers = count()

    def alias(self, model: Any) -> Any:
        return _alias(model, next(self._numbers))

    def alias_of(self, model: Any, rows: Select[Any]) -> Any:
        return aliased(model, rows.subquery(f"t{next(self._numbers)}"))

    def visible(self, model: type[Any], entity: Any) -> ColumnElement[bool]:
        """Return the condition for rows of the organisation that the actor may see."""
        seen = readable(model, self.actor, entity=entity, account_id=ACCOUNT)
        return and_(entity.organisation_id == OWN, seen)

    def everybodys(self, model: type[Any], entity: Any) -> ColumnElement[bool]:
        """Return the condition for rows of the organisation, without the actor's visibility."""
        of_organisation: ColumnElement[bool] = entity.organisation_id == OWN
        return of_organisation


class Block:
    """One SELECT. Its rows are those of the driver, or arrays `inside` JSON; in code a row is `row`."""

    def __init__(
        self,
        tables: Tables,
        code: Code,
        model: type[Any],
        row: str,
        *,
        inside: bool,
        chosen: Select[Any] | None = None,
    ) -> None:
        self.tables = tables
        self.code = code
        self.model = model
        self.row = row
        self.inside = inside
        self.entity = tables.alias(model) if chosen is None else tables.alias_of(model, chosen)
        self._from: Any = self.entity
        self._columns: list[Any] = []
        self._places: dict[Any, int] = {}
        self._joined: dict[Any, Any] = {}
        # The places of columns that are arrays themselves.
        self._arrays: set[int] = set()

    def add(self, key: Any, make: Callable[[], Any]) -> str:
        """Select something once; return the source of its value."""
        if key not in self._places:
            self._places[key] = len(self._columns)
            self._columns.append(make())
            if self.inside and len(self._columns) > _MOST_INSIDE:
                raise Doubt("more columns than an array is made of")
        return f"{self.row}[{self._places[key]}]"

    def value(self, entity: Any, name: str, kind: GraphQLOutputType, *, sorts: bool = False) -> str:
        """Return the source of a column's value as JSON, or as a cursor has it."""
        column = getattr(entity, name)
        own = codec(column, kind)
        select_as = own.inside if self.inside else own.flat
        source = self.add((id(entity), name, select_as), lambda: select_as(column))
        made = own.sorts if sorts and own.sorts is not None else own.made
        return source if made is None else f"{self.code.use(made)}({source})"

    def python(self, entity: Any, name: str) -> str:
        """Return the source of a column's value as Python has it."""
        column = getattr(entity, name)
        own = python_of(column)
        select_as = own.inside
        source = self.add((id(entity), name, select_as), lambda: select_as(column))
        return source if own.made is None else f"{self.code.use(own.made)}({source})"

    def join(self, entity: Any, to: ToOne | Person) -> tuple[Any, str]:
        """Join the row that a column names; return its alias, and the source of a value that is None without
        a row that the actor sees.
        """
        visible = self.tables.everybodys if isinstance(to, Person) else self.tables.visible
        target = self._attach(
            (id(entity), to.name, to.target),
            to.target,
            lambda target: and_(target.id == getattr(entity, to.name), visible(to.target, target)),
        )
        as_text = sql.id_text
        return target, self.add((id(target), "id", as_text), lambda: as_text(target.id))

    def recorded(self, entity: Any, model: type[Any]) -> Any:
        """Join the entity's `Record`, or the `Change` that was its last; return the alias."""
        record = self._attach(
            (id(entity), Record),
            Record,
            lambda record: and_(record.id == entity.id, self.tables.everybodys(Record, record)),
        )
        if model is Record:
            return record
        return self._attach(
            (id(entity), Change),
            Change,
            lambda change: and_(change.seq == record.seq, self.tables.everybodys(Change, change)),
        )

    def _attach(self, key: Any, model: type[Any], on: Callable[[Any], ColumnElement[bool]]) -> Any:
        """Join a table once."""
        if key not in self._joined:
            if len(self._joined) >= _MOST_JOINS:
                raise Doubt("more tables than a database joins")
            target = self._joined[key] = self.tables.alias(model)
            self._from = outerjoin(self._from, target, on(target))
        return self._joined[key]

    def array(self, array: Any) -> str:
        """Select an array of rows; return the source of the list that it is."""
        if not self.inside:
            return f"loads({self.add(object(), lambda: sql.json_text(array))} or '[]')"
        self._arrays.add(len(self._columns))
        return f"({self.add(object(), lambda: array)} or ())"

    def rows(self, condition: ColumnElement[bool], order: list[Any], limit: int) -> Select[Any]:
        """Return the SELECT."""
        columns = [one.label(f"c{place}") for place, one in enumerate(self._columns)]
        chosen = select(*columns).select_from(self._from).where(condition)
        return chosen.order_by(*order).limit(at_most(limit))

    def ordered(self, order: list[Any]) -> Select[Any]:
        """Return the SELECT of rows that were chosen before."""
        columns = [one.label(f"c{place}") for place, one in enumerate(self._columns)]
        return select(*columns).select_from(self._from).order_by(*order)

    def as_array(self, rows: Select[Any], outer: Any) -> Any:
        """Return the rows as one JSON value, for each row of `outer`."""
        found = rows.correlate(outer).subquery()
        columns = [sql.json_inside(one) if at in self._arrays else one for at, one in enumerate(found.c)]
        return select(sql.json_rows(sql.json_row(*columns))).scalar_subquery()
