"""The statements of one session: their maker alone knows the kind of database and the organisation."""

from __future__ import annotations

import typing
from collections.abc import Coroutine, Iterable, Mapping
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Delete,
    FromClause,
    Result,
    Select,
    TextClause,
    any_,
    bindparam,
    delete,
    literal,
    select,
    text,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.engine import bulk
from tournee.engine.bulk import Rows
from tournee.engine.codec import Ids
from tournee.engine.engines import ORGANISATION
from tournee.kernel.entity import OrganisationRow

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class OrganisationSession(AsyncSession):
    """A session that keeps to one organisation, or across them all where that was asked for by name."""

    @property
    def statements(self) -> Statements:
        """The maker of its statements. The session does not hold it: it would hold itself in memory."""
        return Statements(self)


class Statements:
    """Makes the statements that are not the same on both databases, and adds the organisation to rows."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        # SQLite runs in this process, where one more statement or value costs next to nothing.
        self.in_process = session.get_bind().dialect.name == "sqlite"

    @property
    def organisation_id(self) -> UUID:
        organisation_id = self._session.info[ORGANISATION]
        assert isinstance(organisation_id, UUID), "This session works across organisations."
        return organisation_id

    # -- reading -------------------------------------------------------------------------------

    def among(self, of: Any, ids: Iterable[UUID]) -> ColumnElement[bool]:
        """Return whether the column is one of many ids, which PostgreSQL gets as one parameter."""
        if self.in_process:
            return typing.cast(ColumnElement[bool], of.in_(list(ids)))
        return typing.cast(ColumnElement[bool], of) == any_(literal(list(ids), Ids()))

    def pick(
        self, key: Any, values: Iterable[Any], *columns: Any
    ) -> Coroutine[Any, Any, Result[*tuple[Any, ...]]]:
        """Read these columns of the organisation's rows whose `key` is one of many ids or texts."""
        if self.in_process:
            return self._session.execute(select(*columns).where(key.in_(list(values))))
        asked = list(values)
        bound = asked if isinstance(bulk.key_codec(key).type, Ids) else bulk.key_codec(key).join(asked)
        picked = {"ids": bound, "organisation_id": self.organisation_id}
        return self._session.execute(bulk.picking(key, columns), picked)

    def each_in_turn(self, outer: FromClause, key: Any, on: Any, most: int) -> Select[Any]:
        """Return the rows of `outer`, each with the first keys, as `id`, of what lies `on` it.

        PostgreSQL takes one row of `outer` after the other for certain: it may else walk through all that
        lies on any, or sort all that lies on these.
        """
        if self.in_process:
            return select(*outer.c, key.label("id")).join_from(outer, key.class_, on)
        first = select(key.label("id")).where(on).order_by(key).limit(most).lateral()
        return select(*outer.c, first.c.id).join_from(outer, first, true())

    # -- writing -------------------------------------------------------------------------------

    def insert(self, table: Any) -> Any:
        """Return an INSERT that can say what becomes of a row that is there already."""
        return sqlite.insert(table) if self.in_process else postgresql.insert(table)

    def insert_many(
        self, table: Any, rows: Rows, same: Mapping[str, Any] = _NOTHING, replacing: tuple[str, ...] = ()
    ) -> Coroutine[Any, Any, None]:
        """Insert rows that name the same columns; `same` holds what is equal in all of them.

        Where a row of the same primary key is there already, the columns of `replacing` are set in it.
        All that this process does for it is done at once, what is awaited is the database's part.
        """
        if not rows:
            return _nothing()
        same = {"organisation_id": self.organisation_id, **same}
        if not self.in_process:
            statement: Any = bulk.inserting(table, tuple(rows[0]), tuple(same), replacing)
            return self._sent(statement, {**bulk.columns_of(table, rows), **same})
        statement = sqlite.insert(table)
        if replacing:
            new = {name: statement.excluded[name] for name in replacing}
            statement = statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=new)
        return self._sent(statement, [{**same, **row} for row in rows])

    def update_many(
        self, table: Any, key: tuple[str, ...], rows: Rows, same: Mapping[str, Any] = _NOTHING
    ) -> Coroutine[Any, Any, None]:
        """Update the rows that have the values of one of `rows` in the columns of `key`, and those of
        `same`. All of `rows` name the same columns.
        """
        if not rows:
            return _nothing()
        names, same = tuple(rows[0]), {"organisation_id": self.organisation_id, **same}
        if not self.in_process:
            statement = bulk.updating(table, key, names, tuple(same))
            return self._sent(statement, {**bulk.columns_of(table, rows), **same})
        found_by = [table.c[name] == bindparam(f"by_{name}") for name in (*key, *same)]
        set_to: dict[str, Any] = {name: bindparam(name) for name in names if name not in key}
        fixed = {f"by_{name}": value for name, value in same.items()}
        return self._sent(
            update(table).where(*found_by).values(set_to),
            [
                {**fixed, **{f"by_{name}" if name in key else name: value for name, value in row.items()}}
                for row in rows
            ],
        )

    def delete_some(
        self, model: type[OrganisationRow], most: int, *where: ColumnElement[bool] | TextClause
    ) -> Delete:
        """Return a DELETE of at most so many of these rows.

        PostgreSQL joins the rows to be deleted: Citus refuses a row of columns that is IN a sub-select.
        """
        key = [getattr(model, column.key) for column in model.__table__.primary_key]
        chosen = select(*key).where(*where).limit(most)
        if self.in_process:
            return delete(model).where(tuple_(*key).in_(chosen))
        rows = chosen.subquery()
        return delete(model).where(*(column == rows.c[column.key] for column in key))

    async def _sent(self, statement: Any, parameters: Any) -> None:
        # Bypass the session, which would first flush what the commands changed.
        connection = await self._session.connection()
        await connection.execute(statement, parameters)

    # -- the transaction -----------------------------------------------------------------------

    async def check_references(self) -> None:
        """Let the database check now what rows refer to; what is written after this it checks at once."""
        if not self.in_process:
            await self._session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))

    async def lock(self, number: int) -> None:
        """Wait until no other transaction holds this lock, and hold it to the end of this one; SQLite has
        one writer anyway.
        """
        if not self.in_process:
            await self._session.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    async def notify(self, channel: str, message: str) -> None:
        """Let other processes know, once this commits; with SQLite there are none."""
        if not self.in_process:
            told = {"channel": channel, "message": message}
            await self._session.execute(text("SELECT pg_notify(:channel, :message)"), told)


async def _nothing() -> None:
    """No rows, no statement."""
