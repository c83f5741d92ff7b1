"""The tables of the change log, and what is written with it: head, change, record, edge, member."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NewType
from uuid import UUID

import orjson
from sqlalchemy import BigInteger, Boolean, Index, String, Text, Uuid, text
from sqlalchemy.orm import Mapped, mapped_column

from tournee.kernel.entity import ALWAYS, Entity, OrganisationRow, UTCDateTime

# A number of the log, as a type of its own, so that it is not confused with other numbers.
Seq = NewType("Seq", int)


def only_where(condition: Any) -> dict[str, Any]:
    """Return the arguments that restrict an index to matching rows, on both databases."""
    return {"postgresql_where": condition, "sqlite_where": condition}


class Head(OrganisationRow):
    """One row for each organisation: the number of its last committed change. It is locked last."""

    __tablename__ = "head"
    epoch: Mapped[UUID] = mapped_column(Uuid)
    seq: Mapped[int] = mapped_column(BigInteger, default=0)
    floor: Mapped[int] = mapped_column(BigInteger, default=0)
    # Since when nothing of the organisation may change, because it moves to another database.
    frozen_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class Change(OrganisationRow):
    """One change of one record; append-only. Feed, audit trail and merge history all read it."""

    __tablename__ = "change"
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    """Its number in the organisation's log, in the order of the commits."""
    entity: Mapped[str] = mapped_column(String(60))
    """The type of the record."""
    id: Mapped[UUID] = mapped_column(Uuid, info={"wire": "recordId"})
    """The id of the record."""
    command: Mapped[str] = mapped_column(String(80))
    """The command that made it; null in a subscription if it would reveal what you may not see."""
    actor_id: Mapped[UUID | None] = mapped_column(Uuid)
    """The account that made it; null if the server did."""
    device_id: Mapped[UUID | None] = mapped_column(Uuid)
    """The device it was made on; null if it was made online."""
    operation_id: Mapped[UUID | None] = mapped_column(Uuid)
    """The device's operation; null if it was made online."""
    # A JSON list of names, for searching; empty for a new record, which has all the fields of `after`.
    fields: Mapped[str] = mapped_column(Text)
    before: Mapped[str | None] = mapped_column(Text)
    after: Mapped[str | None] = mapped_column(Text)
    occurred_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """When it happened, by the clock of the device."""
    recorded_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """When the server received it."""

    __table_args__ = (
        Index("ix_change_record", "organisation_id", "id", "seq"),
        Index("ix_change_entity", "organisation_id", "entity", "seq"),
        # The log stands in the order of its times, so that PostgreSQL needs no entry for each row.
        Index("ix_change_recorded_at", "recorded_at", postgresql_using="brin"),
    )


# Deleted records that still have a document.
TOMBSTONES = text("deleted AND document <> '{}'")

# Closed edges. A database uses the index of them only for a condition in these very words.
CLOSED = text("NOT open")

# In a clock: the creation, and the last change of a record whose changes were all archived.
CREATED, SHORTENED = "*", "?"


class Record(OrganisationRow):
    """The present wire form of a row, with the clock of its fields.

    The clock maps a field to [seq, device, actor] of its last change, and `*` to those of the
    creation, which stand for every field not named. Once the log's entries are archived, `?` has the seq of
    the last change, of whatever field, and nobody's device or account is named. The document of a record
    that was deleted before the horizon is `{}`.
    """

    __tablename__ = "record"
    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    entity: Mapped[str] = mapped_column(String(60))
    seq: Mapped[int] = mapped_column(BigInteger)
    deleted: Mapped[bool] = mapped_column(Boolean, default=False)
    clock: Mapped[str] = mapped_column(Text)
    document: Mapped[str] = mapped_column(Text)
    # Its last change, or the end of its own dates where that is later; ALWAYS while it is open.
    until: Mapped[datetime] = mapped_column(UTCDateTime, default=ALWAYS)

    __table_args__ = (
        Index("ix_record_feed", "organisation_id", "seq"),
        # What a device of the office carries that chose types and a window.
        Index("ix_record_until", "organisation_id", "entity", "until", "id"),
        Index("ix_record_tombstone", "organisation_id", "seq", **only_where(TOMBSTONES)),
    )


class Edge(OrganisationRow):
    """A link from a record to a scope. A closed edge stays as a tombstone. `seq` is the last change of the
    record in the scope, or the close.
    """

    __tablename__ = "edge"
    scope: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    record_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger)
    open: Mapped[bool] = mapped_column(Boolean)

    __table_args__ = (
        Index("ix_edge_feed", "organisation_id", "scope", "seq", "record_id", "open"),
        Index("ix_edge_record", "organisation_id", "record_id"),
        # Finds the few edges past the horizon among the many open ones.
        Index("ix_edge_closed", "organisation_id", "seq", **only_where(CLOSED)),
    )


_HELD, _ENDED = text("to_seq IS NULL"), text("to_seq IS NOT NULL")


class Member(OrganisationRow):
    """An account holds a scope from one seq to another; `to_seq` is null while it does. Rows are never
    overwritten.
    """

    __tablename__ = "member"
    account_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    scope: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    from_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    to_seq: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_member_scope", "organisation_id", "scope", "to_seq"),
        Index("ix_member_from", "organisation_id", "from_seq"),
        Index("ix_member_to", "organisation_id", "to_seq", **only_where(_ENDED)),
        # What an account holds now and lost lately, among what it held in years.
        Index("ix_member_held", "organisation_id", "account_id", "scope", **only_where(_HELD)),
        Index("ix_member_ended", "organisation_id", "account_id", "to_seq", **only_where(_ENDED)),
    )


@dataclass
class Entry:
    """A change that has no number yet."""

    row: Entity
    command: str
    actor_id: UUID | None
    device_id: UUID | None
    operation_id: UUID | None
    occurred_at: datetime
    before: dict[str, Any] | None
    after: dict[str, Any]
    seq: int = 0
    # `after` as JSON, if it was already made.
    after_text: str | None = None

    def values(self) -> dict[str, Any]:
        """Return its row in the log, without the columns that the whole transaction shares."""
        return {
            "seq": self.seq,
            "entity": type(self.row).__name__,
            "id": self.row.id,
            "command": self.command,
            "actor_id": self.actor_id,
            "device_id": self.device_id,
            "operation_id": self.operation_id,
            "fields": "[]" if self.before is None else dump(list(self.after)),
            "before": None if self.before is None else dump(self.before),
            "after": self.after_text or dump(self.after),
            "occurred_at": self.occurred_at,
        }

    def stamp(self) -> list[Any]:
        return [self.seq, self.device_id, self.actor_id]


def dump(value: Any) -> str:
    """Return JSON as it goes over the wire: ids, times, dates and enum values as `wire_value` writes them."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()
