"""The database and the two kinds of session: one that reads, one in which commands write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import (
    ORMExecuteState,
    Session,
    UOWTransaction,
    make_transient,
    make_transient_to_detached,
)

from tournee.engine.border import keep_within, watch
from tournee.engine.engines import (
    ACROSS,
    ORGANISATION,
    Across,
    open_postgresql,
    open_sqlite,
    outside_transactions,
    serving,
)
from tournee.engine.statements import OrganisationSession
from tournee.kernel.entity import Entity
from tournee.kernel.outages import StorageFull, StorageReadOnly, outage_of


class UnloggedWrite(RuntimeError):
    """An entity was about to be written outside of a command."""


def require_command(session: Session, rows: Iterable[object]) -> None:
    """Refuse to write an entity while no command runs."""
    if session.info.get("command") is None:
        for row in rows:
            if isinstance(row, Entity):
                raise UnloggedWrite(f"{type(row).__name__} was written outside of a command.")


def _refuse_unlogged_flush(session: Session, _context: UOWTransaction, _rows: Any) -> None:
    require_command(session, (*session.new, *session.dirty, *session.deleted))
    if any(isinstance(row, Entity) for row in session.deleted):
        raise UnloggedWrite("Entities are marked deleted by a command, never removed.")


def _refuse_unlogged_statement(state: ORMExecuteState) -> None:
    if state.is_insert or state.is_update or state.is_delete:
        mapper = state.bind_mapper
        if mapper is not None and issubclass(mapper.class_, Entity):
            raise UnloggedWrite(f"{mapper.class_.__name__} was written by a bulk statement.")


class ReadSession(Session):
    """Session of whoever reads."""


class WriteSession(Session):
    """Session of a command; refuses to write an entity while no command runs.

    New entities wait beside it until something is flushed. Most are written by the commit, and taking them
    into the unit of work first costs more than writing them.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.waiting: list[Entity] = []
        # What was stored past the unit of work, and whether it was new: a savepoint takes it back.
        self.stored: list[tuple[Entity, bool]] = []

    @property
    def unsent(self) -> bool:
        """Whether something is still to be written."""
        return bool(self.waiting or self.new or self.dirty)

    def take_up(self) -> None:
        """Take what waits into the unit of work."""
        waiting, self.waiting = self.waiting, []
        self.add_all(waiting)

    def take_as_stored(self, row: Entity, *, is_new: bool) -> None:
        """Take a row for what the database now holds: it was written past the unit of work."""
        self.expunge(row)
        if not is_new:
            make_transient(row)
        make_transient_to_detached(row)
        self.add(row)
        self.stored.append((row, is_new))

    def take_back(self, stored: int) -> None:
        """Forget all but the first so many rows stored past the unit of work: they were rolled back."""
        for row, is_new in reversed(self.stored[stored:]):
            if row in self:
                (self.expunge if is_new else self.expire)(row)
        del self.stored[stored:]

    def flush(self, objects: Any = None) -> None:
        self.take_up()
        super().flush(objects)


event.listen(WriteSession, "before_flush", _refuse_unlogged_flush)
event.listen(WriteSession, "do_orm_execute", _refuse_unlogged_statement)
event.listen(WriteSession, "do_orm_execute", keep_within)
event.listen(ReadSession, "do_orm_execute", keep_within)


class Database:
    """The engine and its two ways in: `reading()` and `writing()`."""

    def __init__(self, url: str, pool_size: int = 10, cache_megabytes: int = 2) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        # Two pools, so that whoever writes never waits for those who read.
        self.engine = open_sqlite(url, cache_megabytes) if self.is_sqlite else open_postgresql(url, pool_size)
        self._writes = self.engine if self.is_sqlite else open_postgresql(url, pool_size)
        for engine in {self.engine, self._writes}:
            watch(engine)
        # Called after every commit made through this object with the organisation, its new seq, and
        # whether it changed who may come in.
        self.listeners: list[Callable[[UUID, int, bool], None]] = []
        # SQLite has one writer; queueing here is fair, its busy handler is not.
        self._turn = asyncio.Lock() if self.is_sqlite else None
        # Since a write met a full or read-only disk, until a trial succeeds.
        self.cannot_store = False

    @asynccontextmanager
    async def reading(self, organisation_id: UUID | Across) -> AsyncIterator[OrganisationSession]:
        """A read-only session on one snapshot of one organisation's rows.

        PostgreSQL shows this session no other organisation's rows, whatever is asked of it.
        """
        engine = serving(self.engine, organisation_id, writes=False)
        async with OrganisationSession(
            engine,
            expire_on_commit=False,
            autoflush=False,
            sync_session_class=ReadSession,
            info={ORGANISATION: organisation_id},
        ) as session:
            yield session

    @asynccontextmanager
    async def writing(self, organisation_id: UUID | Across) -> AsyncIterator[OrganisationSession]:
        """A session for commands; it commits where the caller says so and rolls back otherwise."""
        if self._turn is not None:
            await self._turn.acquire()
        try:
            engine = serving(self._writes, organisation_id, writes=True)
            async with OrganisationSession(
                engine,
                expire_on_commit=False,
                sync_session_class=WriteSession,
                info={ORGANISATION: organisation_id},
            ) as session:
                yield session
        except Exception as error:
            if isinstance(outage_of(error), StorageFull | StorageReadOnly):
                self.cannot_store = True
            raise
        finally:
            if self._turn is not None:
                self._turn.release()

    @property
    def has_channels(self) -> bool:
        """Whether processes hear of each other's commits; with SQLite there is only this one."""
        return not self.is_sqlite

    @asynccontextmanager
    async def connecting(self) -> AsyncIterator[AsyncConnection]:
        async with self.engine.connect() as connection:
            yield connection

    async def keep_counted(self) -> None:
        """Do now and then what PostgreSQL does by itself."""
        if self.is_sqlite:
            await self.analyse()

    async def analyse(self) -> None:
        """Tell the database how large its tables have become, after many rows were added.

        SQLite goes by guesses until then. PostgreSQL keeps the plans of its reference checks for the
        whole connection: made while the tables were empty, they read them from end to end every time.
        """
        if self.is_sqlite:
            async with self.writing(ACROSS) as session:
                await session.execute(text("PRAGMA analysis_limit=1000"))
                await session.execute(text("ANALYZE"))
                await session.commit()
        else:
            async with outside_transactions(self.engine).connect() as connection:
                await connection.execute(text("ANALYZE"))

    async def passes_policies(self) -> bool:
        """Whether PostgreSQL does not hold the role we are connected as to row-level security."""
        if self.is_sqlite:
            return False
        role = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        async with self.connecting() as connection:
            return bool(await connection.scalar(role))

    @property
    def plain_url(self) -> str:
        """The URL without a driver's name, as database tools take it."""
        parsed = make_url(self.url)
        return parsed.set(drivername=parsed.get_backend_name()).render_as_string(hide_password=False)

    def announce(self, organisation_id: UUID, seq: int, admits: bool = False) -> None:
        """Call the listeners; `admits`: the commit changed who may come in, if only that with a seq of 0."""
        for listener in self.listeners:
            listener(organisation_id, seq, admits)

    async def close(self) -> None:
        await self.engine.dispose()
        if self._writes is not self.engine:
            await self._writes.dispose()
