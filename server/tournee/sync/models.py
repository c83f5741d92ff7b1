"""The tables in which the protocol keeps devices and their operations. They are not entities: nobody pulls
them.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Index, Integer, String, Text, Uuid, false
from sqlalchemy.orm import Mapped, mapped_column

from tournee.kernel.entity import OrganisationRow, UTCDateTime, now


class DeviceState(OrganisationRow):
    """How far a device has come: the number of its next operation, and its last cursor.

    Not an entity, since it changes with every exchange. What the device reports (its outbox, its app, its
    clock) is shown to people; nothing is decided by it.
    """

    __tablename__ = "device_state"
    device_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    account_id: Mapped[UUID] = mapped_column(Uuid)
    next_number: Mapped[int | None] = mapped_column(BigInteger)
    # The highest number that had its turn: an operation with a lower one comes late.
    last_number: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    # Used numbers beyond the next one, as a JSON list.
    used_numbers: Mapped[str | None] = mapped_column(Text)
    acknowledged_seq: Mapped[int | None] = mapped_column(BigInteger)
    app: Mapped[str | None] = mapped_column(String(200))
    schema: Mapped[int | None] = mapped_column(Integer)
    last_seen_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    pushes: Mapped[int] = mapped_column(BigInteger, default=0)
    queue_length: Mapped[int | None] = mapped_column(BigInteger)
    queue_oldest_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    clock_skew_ms: Mapped[int | None] = mapped_column(BigInteger)


class Receipt(OrganisationRow):
    """An operation was decided, once. `payload_hash` distinguishes a repetition from a reused id."""

    __tablename__ = "receipt"
    operation_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    device_id: Mapped[UUID] = mapped_column(Uuid)
    account_id: Mapped[UUID] = mapped_column(Uuid)
    number: Mapped[int] = mapped_column(BigInteger)
    command: Mapped[str] = mapped_column(String(80))
    payload_hash: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(20))
    seq: Mapped[int | None] = mapped_column(BigInteger)
    outcome: Mapped[str] = mapped_column(Text)
    # By record, the fields it sent that did not change, as JSON: the log lacks them.
    unmoved: Mapped[str | None] = mapped_column(Text)
    # The hash of a fact without its times.
    meaning: Mapped[str | None] = mapped_column(String(64))
    received_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)

    __table_args__ = (Index("ix_receipt_device", "organisation_id", "device_id", "number"),)


class GivenUpRecord(OrganisationRow):
    """A record that will not come: operations that name it are refused instead of waiting."""

    __tablename__ = "given_up_record"
    record_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    given_up_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)


class Reason(StrEnum):
    """Why an operation waits."""

    # An operation before it has not arrived.
    GAP = "GAP"
    # A record that it names has not arrived.
    PARENT = "PARENT"
    # It hit an error of ours and is tried once more; after that a manager decides.
    CRASHED = "CRASHED"
    QUARANTINED = "QUARANTINED"
    # It depends on an operation that such an error stopped.
    FOLLOWS = "FOLLOWS"
    # Its device was revoked, and a manager decides.
    SURRENDERED = "SURRENDERED"
    # Another device of this account sent it first, and it waits there.
    ELSEWHERE = "ELSEWHERE"
    # The server has no room, so only the device keeps it.
    NO_ROOM = "NO_ROOM"


# The reasons for which the server stores the operation for this device.
KEPT = frozenset(Reason) - {Reason.ELSEWHERE, Reason.NO_ROOM}


class ParkedOperation(OrganisationRow):
    """An operation that was received and waits: for its turn, for a record that it names, for a bug to be
    fixed, or for the operation (by id) that hit the bug.
    """

    __tablename__ = "parked_operation"
    operation_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    device_id: Mapped[UUID] = mapped_column(Uuid)
    number: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(String(20))
    waits_for: Mapped[UUID | None] = mapped_column(Uuid)
    schema: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    base_unknown: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    operation: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)

    __table_args__ = (
        Index("ix_parked_operation_device", "organisation_id", "device_id", "number"),
        Index("ix_parked_operation_record", "organisation_id", "waits_for"),
    )
