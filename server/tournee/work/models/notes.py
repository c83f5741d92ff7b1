"""What people record at work: notes, and how they spent their time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from sqlalchemy import Index
from sqlalchemy.orm import Mapped

from tournee.auth.roles import Role
from tournee.kernel.entity import Entity
from tournee.kernel.errors import refuse_wrong
from tournee.kernel.fields import Merge, column, reference
from tournee.kernel.periods import Span, in_periods
from tournee.kernel.times import TimeSource
from tournee.work.permissions import WORK_INTERNAL, WORK_READ

_STAFF = UUID("6f1f4a52-0d0c-5c39-9a52-0b1f5c3f7a11")


def staff_scope(id: UUID) -> UUID:
    """Return the scope of internal details of a record; the customer's portal does not hold it."""
    return uuid5(_STAFF, id.hex)


class TimeKind(StrEnum):
    """What the time was spent on."""

    TRAVEL = "TRAVEL"
    """On the way."""
    WORK = "WORK"
    """At work."""
    BREAK = "BREAK"
    """Not paid as work."""
    OTHER = "OTHER"
    """Anything else, such as paperwork."""


class Note(Entity):
    """A note on an order or an appointment; it never changes."""

    __tablename__ = "note"
    reads = WORK_READ
    is_fact = True
    decider = Role.DISPATCHER

    work_order_id: Mapped[UUID | None] = reference("work_order", merge=Merge.APPEND_ONLY)
    """The order it is about; null if it is about a visit only."""
    appointment_id: Mapped[UUID | None] = reference("appointment", merge=Merge.APPEND_ONLY)
    """The visit it is about; null if it is about the order as a whole."""
    text: Mapped[str] = column(merge=Merge.APPEND_ONLY)
    """What was written. Plain text."""
    internal: Mapped[bool] = column(
        merge=Merge.APPEND_ONLY, default=False, description="Whether it is hidden from the customer."
    )
    author_id: Mapped[UUID] = column(merge=Merge.SERVER_ONLY, description="The account that wrote it.")
    occurred_at: Mapped[datetime] = column(time_source=TimeSource.DEVICE, merge=Merge.APPEND_ONLY)
    """When it was written, by the device's clock."""

    def scopes(self) -> Iterable[UUID | None]:
        on = self.appointment_id or self.work_order_id
        return (staff_scope(on) if self.internal and on else on,)

    def check(self) -> None:
        not_one = (self.work_order_id is None) == (self.appointment_id is None)
        refuse_wrong(
            (not_one, "A note needs a work order or an appointment.", "appointmentId"),
            (not self.text.strip(), "A note needs a text.", "text"),
        )


class TimeEntry(Entity):
    """Time that a technician spent: a ledger, corrected only by another entry that names the wrong one."""

    __tablename__ = "time_entry"
    reads = WORK_INTERNAL
    is_fact = True
    decider = Role.DISPATCHER
    __table_args__ = (Index("ix_time_entry_span", "organisation_id", "technician_id", "starts_at"),)

    technician_id: Mapped[UUID] = reference("technician", merge=Merge.LEDGER)
    """The technician whose time it was."""
    appointment_id: Mapped[UUID | None] = reference("appointment", merge=Merge.LEDGER)
    """The visit it was spent on; null if on none."""
    work_order_id: Mapped[UUID | None] = reference("work_order", merge=Merge.LEDGER)
    """The order it was spent on; null if on none."""
    corrects_id: Mapped[UUID | None] = reference(
        "time_entry", merge=Merge.LEDGER, description="The entry that this one replaces."
    )
    kind: Mapped[TimeKind] = column(merge=Merge.LEDGER)
    """How the time counts."""
    starts_at: Mapped[datetime] = column(time_source=TimeSource.DEVICE, merge=Merge.LEDGER)
    """By the device's clock."""
    ends_at: Mapped[datetime] = column(time_source=TimeSource.DEVICE, merge=Merge.LEDGER)
    """By the device's clock; always after the start."""
    note: Mapped[str | None] = column(2000, merge=Merge.LEDGER)
    """What was done; null if nothing is written."""
    overlaps: Mapped[bool] = column(
        merge=Merge.SERVER_ONLY,
        default=False,
        description="Whether it overlapped another entry of the same technician.",
    )
    account_id: Mapped[UUID] = column(merge=Merge.SERVER_ONLY, description="Who recorded it.")

    def spans(self) -> Iterable[Span]:
        """Also when it was received: a correction stays as long as what it corrects, and what a wrong clock
        dates does not vanish.
        """
        own = self.technician_id
        return (Span(own, self.starts_at, self.ends_at), Span.at(own, self.created_at))

    def scopes(self) -> Iterable[UUID | None]:
        return (*in_periods(self), self.appointment_id)

    def check(self) -> None:
        refuse_wrong(
            (self.ends_at <= self.starts_at, "The end must be after the start.", "endsAt"),
            (self.corrects_id == self.id, "An entry cannot correct itself.", "correctsId"),
        )
