"""Tables, engines and the two kinds of session; one declarative base on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from typing import Any, ClassVar
from uuid import UUID

import uuid_utils.compat
from sqlalchemy import (
    Date,
    DateTime,
    Dialect,
    Enum,
    Float,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    Uuid,
    event,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, ORMExecuteState, Session, UOWTransaction, mapped_column
from sqlalchemy.types import JSON

from tournee.kernel.engines import ACROSS, Across, open_postgresql, open_sqlite, outside_transactions, serving
from tournee.kernel.fields import Merge, column, constrain_references
from tournee.kernel.numbering import Numbers
from tournee.kernel.outages import StorageFull, StorageReadOnly, outage_of
from tournee.kernel.times import TimeSource


def now() -> datetime:
    """The server's clock; the only place that reads it."""
    return datetime.now(UTC)


def new_id() -> UUID:
    """A UUIDv7: sorts by time of making, made by whoever creates the row."""
    return uuid_utils.compat.uuid7()


class UTCDateTime(TypeDecorator[datetime]):
    """Aware times, UTC on both databases; SQLite would hand them back naive."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """Every table."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text,
        int: Integer,
        float: Float,
        datetime: UTCDateTime,
        date: Date,
        UUID: Uuid,
        enum.Enum: Enum(enum.Enum, native_enum=False, create_constraint=False, length=40),
        list[str]: JSON,
        list[dict[str, Any]]: JSON,
        dict[str, Any]: JSON,
    }


class Entity(Base):
    """A row that people know: it has a change log, a visibility and a wire form.

    Written by commands only. `reads` is the scope that a reader needs; `scopes()` says, from the
    row's own columns, in which scopes it lies; a scope is the id of the record it hangs on.
    `decider` is the role that decides conflicts about it.
    """

    __abstract__ = True
    reads: ClassVar[str]
    # Named by everybody's work and not changed by it: naming such a row locks nothing.
    shared: ClassVar[bool] = False
    decider: ClassVar[str] = "DISPATCHER"
    # A change of such a row may let somebody in or shut them out.
    admits: ClassVar[bool] = False
    # Given at the commit.
    numbers: ClassVar[Numbers | None] = None

    organisation_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, sort_order=-4)
    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, sort_order=-3)
    created_at: Mapped[datetime] = column(
        time_source=TimeSource.SERVER,
        merge=Merge.SERVER_ONLY,
        description="When the server first received it.",
        sort_order=-2,
    )
    deleted: Mapped[bool] = mapped_column(default=False, sort_order=-1)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__tablename__" in cls.__dict__:
            constrain_references(cls)
            BY_TABLE[cls.__tablename__] = cls
            BY_NAME[cls.__name__] = cls

    def scopes(self) -> Iterable[UUID | None]:
        """The scopes this row lies in, from its own columns; None is passed over."""
        return ()

    def check(self) -> None:
        """Raise Invalid where fields contradict each other; called before every write."""


BY_TABLE: dict[str, type[Entity]] = {}
BY_NAME: dict[str, type[Entity]] = {}


class Organisation(Base):
    """A tenant. Nothing points across the border between two of them."""

    __tablename__ = "organisation"
    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)


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


class WriteSession(Session):
    """Session of a command; refuses to write an entity while no command runs.

    New entities wait beside it until something is flushed. Most are written by the commit, and taking them
    into the unit of work first costs more than writing them.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.waiting: list[Entity] = []

    @property
    def unsent(self) -> bool:
        """Whether something is still to be written."""
        return bool(self.waiting or self.new or self.dirty)

    def take_up(self) -> None:
        """Take what waits into the unit of work."""
        waiting, self.waiting = self.waiting, []
        self.add_all(waiting)

    def flush(self, objects: Any = None) -> None:
        self.take_up()
        super().flush(objects)


event.listen(WriteSession, "before_flush", _refuse_unlogged_flush)
event.listen(WriteSession, "do_orm_execute", _refuse_unlogged_statement)


class Database:
    """The engine and its two ways in: `reading()` and `writing()`."""

    def __init__(self, url: str, pool_size: int = 10, cache_megabytes: int = 2) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        # Two pools, so that whoever writes never waits for those who read.
        self.engine = open_sqlite(url, cache_megabytes) if self.is_sqlite else open_postgresql(url, pool_size)
        self._writes = self.engine if self.is_sqlite else open_postgresql(url, pool_size)
        # Called after every commit made through this object with the organisation, its new seq, and
        # whether it changed who may come in.
        self.listeners: list[Callable[[UUID, int, bool], None]] = []
        # SQLite has one writer; queueing here is fair, its busy handler is not.
        self._turn = asyncio.Lock() if self.is_sqlite else None
        # Since a write met a full or read-only disk, until a trial succeeds.
        self.cannot_store = False

    @asynccontextmanager
    async def reading(self, organisation_id: UUID | Across) -> AsyncIterator[AsyncSession]:
        """A read-only session on one snapshot of one organisation's rows.

        PostgreSQL shows this session no other organisation's rows, whatever is asked of it.
        """
        engine = serving(self.engine, organisation_id, writes=False)
        async with AsyncSession(engine, expire_on_commit=False, autoflush=False) as session:
            yield session

    @asynccontextmanager
    async def writing(self, organisation_id: UUID | Across) -> AsyncIterator[AsyncSession]:
        """A session for commands; it commits where the caller says so and rolls back otherwise."""
        if self._turn is not None:
            await self._turn.acquire()
        try:
            engine = serving(self._writes, organisation_id, writes=True)
            async with AsyncSession(
                engine, expire_on_commit=False, sync_session_class=WriteSession
            ) as session:
                yield session
        except Exception as error:
            if isinstance(outage_of(error), StorageFull | StorageReadOnly):
                self.cannot_store = True
            raise
        finally:
            if self._turn is not None:
                self._turn.release()

    @asynccontextmanager
    async def connecting(self) -> AsyncIterator[AsyncConnection]:
        async with self.engine.connect() as connection:
            yield connection

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
