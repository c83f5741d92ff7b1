"""Entities: the declarative base, ids and times."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, ClassVar
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
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import JSON

from tournee.kernel.declared import Declared
from tournee.kernel.fields import Merge, column, constrain_references
from tournee.kernel.numbers import Numbers
from tournee.kernel.registry import register_entity
from tournee.kernel.search import Searched
from tournee.kernel.times import TimeSource

if TYPE_CHECKING:
    from tournee.kernel.periods import Span


def now() -> datetime:
    """Return the server's time; the only place that reads its clock."""
    return datetime.now(UTC)


def new_id() -> UUID:
    """Return a UUIDv7, which sorts by time. Whoever creates a row makes its id."""
    return uuid_utils.compat.uuid7()


# Until when a record counts that is open, or that has no dates.
ALWAYS = datetime(9999, 12, 31, tzinfo=UTC)


class UTCDateTime(TypeDecorator[datetime]):
    """Aware times in UTC on both databases; SQLite would return them naive."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class DeclaredName(TypeDecorator[Declared]):
    """Names that domains declare, as text."""

    impl = String(40)
    cache_ok = True

    def __init__(self, kind: type[Declared]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Declared | None:
        return None if value is None else self.kind.named(value)


class Placement(enum.Enum):
    """Where the rows of a table are, in a database that is distributed by organisation."""

    ORGANISATION = "with their organisation"
    EVERYWHERE = "on every node"
    COORDINATOR = "on the coordinator"


class Base(DeclarativeBase):
    """The base of every table."""

    placement: ClassVar[Placement] = Placement.ORGANISATION
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


class OrganisationRow(Base):
    """A row of one organisation: every statement of a session on such rows keeps to the session's own."""

    __abstract__ = True
    organisation_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, sort_order=-4)


class Entity(OrganisationRow):
    """A row that people know: it has a change log, a visibility and a wire form.

    Only commands write it. `reads` is the permission that readers need. `scopes()` returns, from the row's
    own columns, the scopes that it lies in; a scope is the id of another record. `decider` is the role that
    decides conflicts about it.
    """

    __abstract__ = True
    reads: ClassVar[str]
    # Much work refers to it and hardly anything changes it, so a reference takes no lock.
    shared: ClassVar[bool] = False
    # None if no conflict can arise.
    decider: ClassVar[str | None]
    # A change of such a row can admit somebody or shut them out.
    admits: ClassVar[bool] = False
    # It says what happened once, so it is over from the beginning.
    is_fact: ClassVar[bool] = False
    # Numbers that are given at the commit.
    numbers: ClassVar[Numbers | None] = None
    # The fields by which `search` finds it.
    searched: ClassVar[Searched | None] = None

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True, sort_order=-3)
    """A UUIDv7. The client that creates the record chooses it, often a device offline; it never changes."""
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
            register_entity(cls)
            constrain_references(cls)

    def scopes(self) -> Iterable[UUID | None]:
        """Return the scopes that this row lies in, from its own columns; None is skipped."""
        return ()

    def spans(self) -> Iterable[Span]:
        """Return the dates by which this row counts for a person's window, from its own columns."""
        return ()

    def is_over(self) -> bool:
        """Return whether nothing is left to do about this row."""
        return self.is_fact

    def ends(self) -> datetime:
        """Return when its own dates end, if it is over; ALWAYS while it is open. A device of the office may
        carry only what ended, or changed, after a day.
        """
        return self.created_at if self.is_over() else ALWAYS

    def check(self) -> None:
        """Raise Invalid if fields contradict each other; called before every write."""


class Organisation(Base):
    """The tenant. Nothing refers across the border between two organisations."""

    __tablename__ = "organisation"
    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    time_zone: Mapped[str] = mapped_column(String(60), default="UTC", server_default="UTC")
