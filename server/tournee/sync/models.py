"""What the protocol keeps of devices and their operations. Not entities: nobody's records."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Index, Integer, String, Text, Uuid, false
from sqlalchemy.orm import Mapped, mapped_column

from tournee.kernel.entity import Base, UTCDateTime, now


class DeviceState(Base):
    """How far a device is: the number of its next operation, the last cursor it came back with.

    No entity: it changes with every exchange. What the device says of itself (its queue, its app, by
    how much its clock is ahead) is believed as far as a report goes: nothing is decided by it.
    """

    __tablename__ = "device_state"
    organisation_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    device_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    account_id: Mapped[UUID] = mapped_column(Uuid)
    next_number: Mapped[int | None] = mapped_column(BigInteger)
    # The greatest that had its turn: what comes under a lesser one comes late.
    last_number: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    # Beyond the next one, those that nothing comes under: a list as JSON.
    used_numbers: Mapped[str | None] = mapped_column(Text)
    acknowledged_seq: Mapped[int | None] = mapped_column(BigInteger)
    app: Mapped[str | None] = mapped_column(String(200))
    schema: Mapped[int | None] = mapped_column(Integer)
    last_seen_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)
    pushes: Mapped[int] = mapped_column(BigInteger, default=0)
    queue_length: Mapped[int | None] = mapped_column(BigInteger)
    queue_oldest_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    clock_skew_ms: Mapped[int | None] = mapped_column(BigInteger)


class Receipt(Base):
    """An operation was decided, once; `payload_hash` tells a repetition from a reused id."""

    __tablename__ = "receipt"
    organisation_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    operation_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    device_id: Mapped[UUID] = mapped_column(Uuid)
    account_id: Mapped[UUID] = mapped_column(Uuid)
    number: Mapped[int] = mapped_column(BigInteger)
    command: Mapped[str] = mapped_column(String(80))
    payload_hash: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(20))
    seq: Mapped[int | None] = mapped_column(BigInteger)
    outcome: Mapped[str] = mapped_column(Text)
    # By record, the fields it named that it left as they stood, as JSON: the log does not tell of them.
    unmoved: Mapped[str | None] = mapped_column(Text)
    # Of a fact, the hash of what it says, whenever it was said.
    meaning: Mapped[str | None] = mapped_column(String(64))
    received_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)

    __table_args__ = (Index("ix_receipt_device", "organisation_id", "device_id", "number"),)


class GivenUpRecord(Base):
    """A record that will not come: what names it is refused, and does not wait."""

    __tablename__ = "given_up_record"
    organisation_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    record_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    given_up_at: Mapped[datetime] = mapped_column(UTCDateTime, default=now)


class Reason(StrEnum):
    """Why an operation waits."""

    # For the operation before it.
    GAP = "GAP"
    # For a record that it names.
    PARENT = "PARENT"
    # For one more try, after an error of ours; for somebody's decision after the second.
    CRASHED = "CRASHED"
    QUARANTINED = "QUARANTINED"
    # For an operation that such an error stopped.
    FOLLOWS = "FOLLOWS"
    # For a manager's decision: its device was revoked.
    SURRENDERED = "SURRENDERED"
    # It waits under another device of this person.
    ELSEWHERE = "ELSEWHERE"
    # For room: the device alone keeps it.
    NO_ROOM = "NO_ROOM"


# Those for which the server keeps the operation of this device.
KEPT = frozenset(Reason) - {Reason.ELSEWHERE, Reason.NO_ROOM}


class ParkedOperation(Base):
    """An operation that was handed in and waits: for its predecessor, for a record that it names, for a
    bug to be mended, or (by id) for an operation that hit one."""

    __tablename__ = "parked_operation"
    organisation_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
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
