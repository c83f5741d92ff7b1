"""The database and its two kinds of session: one for reading, one in which commands write."""

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
from tournee.engine.prepared import execute_prepared
from tournee.engine.statements import OrganisationSession
from tournee.kernel.entity import Entity
from tournee.kernel.outages import StorageFull, StorageReadOnly, outage_of
from tournee.migrations import HAS_CITUS


class UnloggedWrite(RuntimeError):
    """An entity was about to be written outside a command."""


def require_command(session: Session, rows: Iterable[object]) -> None:
    """Raise UnloggedWrite if no command runs and one of these rows is an entity."""
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
    """A session for reading."""


class WriteSession(Session):
    """A session for commands; it refuses to write an entity while no command runs.

    New entities wait beside the session until something is flushed. Usually the commit writes them, and
    adding them to the unit of work first costs more than writing them.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.waiting: list[Entity] = []
        # Rows written by bulk statements, and whether each was new, so that a savepoint can undo them.
        self.stored: list[tuple[Entity, bool]] = []

    @property
    def unsent(self) -> bool:
        """Whether anything is still to be written."""
        return bool(self.waiting or self.new or self.dirty)

    def take_up(self) -> None:
        """Add the waiting entities to the unit of work."""
        waiting, self.waiting = self.waiting, []
        self.add_all(waiting)

    def take_as_stored(self, row: Entity, *, is_new: bool) -> None:
        """Mark a row as stored: it was written past the unit of work."""
        self.expunge(row)
        if not is_new:
            make_transient(row)
        make_transient_to_detached(row)
        self.add(row)
        self.stored.append((row, is_new))

    def take_back(self, stored: int) -> None:
        """Forget all but the first `stored` rows written past the unit of work: they were rolled back."""
        for row, is_new in reversed(self.stored[stored:]):
            if row in self:
                (self.expunge if is_new else self.expire)(row)
        del self.stored[stored:]

    def flush(self, objects: Any = None) -> None:
        self.take_up()
        super().flush(objects)


event.listen(WriteSession, "before_flush", _refuse_unlogged_flush)
event.listen(WriteSession, "do_orm_execute", _refuse_unlogged_statement)
for _kind in (WriteSession, ReadSession):
    event.listen(_kind, "do_orm_execute", execute_prepared)
    event.listen(_kind, "do_orm_execute", keep_within)


def plain(url: str) -> str:
    """Return the URL without a driver's name."""
    parsed = make_url(url)
    return parsed.set(drivername=parsed.get_backend_name()).render_as_string(hide_password=False)


class Database:
    """The engine, and the two ways in: `reading()` and `writing()`."""

    def __init__(
        self, url: str, pool_size: int = 10, cache_megabytes: int = 2, *, prepares: bool = True
    ) -> None:
        self.url = url
        # Whether PostgreSQL's sessions keep the statements that the driver prepares on them.
        self.prepares = prepares
        self.is_sqlite = url.startswith("sqlite")
        # Two pools, so that writers never wait for readers.
        if self.is_sqlite:
            self.engine = self._writes = open_sqlite(url, cache_megabytes)
        else:
            self.engine, self._writes = (open_postgresql(url, pool_size, prepares=prepares) for _ in range(2))
        for engine in {self.engine, self._writes}:
            watch(engine)
        # Called after every commit made through this object, with the organisation, its new seq, and
        # whether it changed who is admitted.
        self.listeners: list[Callable[[UUID, int, bool], None]] = []
        # SQLite has one writer. Waiting for this lock is fair; SQLite's own busy handler is not.
        self._turn = asyncio.Lock() if self.is_sqlite else None
        self._has_citus: bool | None = None
        # True after a write failed on a full or read-only disk, until a trial write succeeds.
        self.cannot_store = False

    @asynccontextmanager
    async def reading(
        self, organisation_id: UUID | Across, *, seconds: float | None = None
    ) -> AsyncIterator[OrganisationSession]:
        """Open a read-only session on one snapshot of one organisation's rows. `seconds`: the longest that
        its statements may take.

        PostgreSQL shows it no row of another organisation, whatever it asks.
        """
        engine = serving(self.engine, organisation_id, writes=False, seconds=seconds)
        async with OrganisationSession(
            engine,
            expire_on_commit=False,
            autoflush=False,
            sync_session_class=ReadSession,
            info={ORGANISATION: organisation_id},
        ) as session:
            yield session

    @asynccontextmanager
    async def writing(
        self, organisation_id: UUID | Across, *, beside: bool = False
    ) -> AsyncIterator[OrganisationSession]:
        """Open a session for commands. The caller commits; otherwise everything is rolled back.

        `beside`: the caller may have such a session already. Its connection is then one of the readers', so
        that writers never wait for each other in vain. Not with SQLite, which has one writer.
        """
        if self._turn is not None:
            await self._turn.acquire()
        try:
            engine = serving(self.engine if beside else self._writes, organisation_id, writes=True)
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

    async def has_citus(self) -> bool:
        """Return whether PostgreSQL may send statements on to other nodes. It is asked once."""
        if self._has_citus is None and not self.is_sqlite:
            async with self.connecting() as connection:
                self._has_citus = bool(await connection.scalar(text(HAS_CITUS)))
        return bool(self._has_citus)

    @property
    def has_channels(self) -> bool:
        """Whether processes notify each other of commits; with SQLite there is only one process."""
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
        """Let the database count its tables, after many rows were added.

        Until then SQLite guesses. PostgreSQL keeps the plans of its reference checks for a connection's whole
        life: made while the tables were empty, they would read whole tables every time.
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
        """Return whether row-level security does not apply to the role that PostgreSQL knows us by."""
        if self.is_sqlite:
            return False
        role = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        async with self.connecting() as connection:
            return bool(await connection.scalar(role))

    @property
    def plain_url(self) -> str:
        """The URL without a driver's name, as database tools take it."""
        return plain(self.url)

    def announce(self, organisation_id: UUID, seq: int, admits: bool = False) -> None:
        """Call the listeners. `admits`: the commit changed who is admitted; if it changed nothing else,
        its seq is 0.
        """
        for listener in self.listeners:
            listener(organisation_id, seq, admits)

    async def close(self) -> None:
        await self.engine.dispose()
        if self._writes is not self.engine:
            await self._writes.dispose()
