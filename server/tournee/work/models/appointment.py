"""Appointments, who is assigned to them and what happened."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped

from tournee.auth.roles import Role
from tournee.kernel.entity import Entity
from tournee.kernel.errors import Invalid
from tournee.kernel.fields import Merge, column, reference
from tournee.kernel.times import AHEAD, BEHIND, TimeSource
from tournee.work.permissions import WORK_INTERNAL, WORK_READ
from tournee.work.states import APPOINTMENT, PLANNED, AppointmentStatus, refuse


class LockMode(StrEnum):
    """What an optimiser may do with the appointment."""

    OPTIMIZE = "OPTIMIZE"
    DONT_MOVE = "DONT_MOVE"
    IGNORE = "IGNORE"


class Outcome(StrEnum):
    """Whether a finished visit finished the work."""

    DONE = "DONE"
    PARTIAL = "PARTIAL"


class AcceptedAs(StrEnum):
    """How a step was taken in: as the plan foresaw, or as a fact that the plan had not foreseen."""

    NORMAL = "NORMAL"
    FACT = "FACT"


class Appointment(Entity):
    """One visit. The minutes and actual times follow from its events."""

    __tablename__ = "appointment"
    reads = WORK_READ
    decider = Role.DISPATCHER
    __table_args__ = (
        Index("ix_appointment_starts_at", "organisation_id", "starts_at"),
        Index("ix_appointment_status", "organisation_id", "status"),
    )

    work_order_id: Mapped[UUID] = reference("work_order", merge=Merge.SERVER_ONLY)
    customer_id: Mapped[UUID] = reference(
        "customer", merge=Merge.SERVER_ONLY, description="As in the work order."
    )
    site_id: Mapped[UUID | None] = reference(
        "site", merge=Merge.SERVER_ONLY, description="As in the work order."
    )
    asset_id: Mapped[UUID | None] = reference(
        "asset", merge=Merge.SERVER_ONLY, description="As in the work order."
    )
    summary: Mapped[str] = column(200)
    instructions: Mapped[str | None] = column()
    status: Mapped[AppointmentStatus] = column(merge=Merge.STATE_MACHINE, default=AppointmentStatus.NONE)
    starts_at: Mapped[datetime | None] = column(
        time_source=TimeSource.PLAN, merge=Merge.STATE_MACHINE, description="As planned."
    )
    ends_at: Mapped[datetime | None] = column(
        time_source=TimeSource.PLAN, merge=Merge.STATE_MACHINE, description="As planned."
    )
    arrival_window_start: Mapped[datetime | None] = column(
        time_source=TimeSource.PLAN, description="Promised to the customer."
    )
    arrival_window_end: Mapped[datetime | None] = column(
        time_source=TimeSource.PLAN, description="Promised to the customer."
    )
    duration_minutes: Mapped[int | None] = column(minimum=1, maximum=100_000, description="Estimated.")
    arrived_at: Mapped[datetime | None] = column(time_source=TimeSource.DERIVED, merge=Merge.SERVER_ONLY)
    actual_start: Mapped[datetime | None] = column(time_source=TimeSource.DERIVED, merge=Merge.SERVER_ONLY)
    actual_end: Mapped[datetime | None] = column(time_source=TimeSource.DERIVED, merge=Merge.SERVER_ONLY)
    travel_minutes: Mapped[int] = column(merge=Merge.SERVER_ONLY, default=0)
    work_minutes: Mapped[int] = column(merge=Merge.SERVER_ONLY, default=0)
    break_minutes: Mapped[int] = column(merge=Merge.SERVER_ONLY, default=0)
    outcome: Mapped[str | None] = column(
        2000, merge=Merge.STATE_MACHINE, description="What was said at the end."
    )
    cancel_reason: Mapped[str | None] = column(2000, merge=Merge.STATE_MACHINE)
    lock_mode: Mapped[LockMode] = column(default=LockMode.OPTIMIZE)

    def scopes(self) -> Iterable[UUID | None]:
        return (self.id,)

    def check(self) -> None:
        if not self.summary.strip():
            raise Invalid("An appointment needs a summary.", "summary")
        _check_span(self.starts_at, self.ends_at, "endsAt", "An appointment")
        _check_span(self.arrival_window_start, self.arrival_window_end, "arrivalWindowEnd", "A window")

    def move(self, to: AppointmentStatus, *, only_from: Iterable[AppointmentStatus] | None = None) -> None:
        """Take the status `to` where the table allows it, and `only_from` where that says less."""
        if only_from is not None and self.status not in only_from:
            refuse(APPOINTMENT, self.status, to)
        APPOINTMENT.require(self.status, to)
        self.status = to

    def schedule(self, starts_at: datetime, ends_at: datetime) -> None:
        """Give it a time; one that has a time already keeps its status as long as nobody has left."""
        if self.status not in PLANNED:
            self.move(AppointmentStatus.SCHEDULED, only_from={AppointmentStatus.NONE})
        self.starts_at = starts_at
        self.ends_at = ends_at

    def unschedule(self) -> None:
        self.move(AppointmentStatus.NONE)
        self.starts_at = None
        self.ends_at = None

    def cancel(self, reason: str) -> None:
        self.move(AppointmentStatus.CANCELED)
        self.cancel_reason = reason


def _check_span(start: datetime | None, end: datetime | None, field: str, what: str) -> None:
    if (start is None) != (end is None):
        raise Invalid(f"{what} has both a start and an end, or neither.", field)
    if start is not None and end is not None and end <= start:
        raise Invalid(f"{what} ends after it starts.", field)


class Assignment(Entity):
    """A technician is, or was, to go to an appointment. Taking somebody off keeps the row."""

    __tablename__ = "assignment"
    reads = WORK_READ
    decider = Role.DISPATCHER
    __table_args__ = (UniqueConstraint("organisation_id", "appointment_id", "technician_id"),)

    appointment_id: Mapped[UUID] = reference("appointment", merge=Merge.SERVER_ONLY)
    technician_id: Mapped[UUID] = reference("technician", merge=Merge.SERVER_ONLY)
    lead: Mapped[bool] = column(merge=Merge.STATE_MACHINE, default=False)
    active: Mapped[bool] = column(merge=Merge.STATE_MACHINE, default=True)

    def scopes(self) -> Iterable[UUID | None]:
        return (self.appointment_id,)


class AppointmentEvent(Entity):
    """A step of a visit, as it happened and when; never changed afterwards."""

    __tablename__ = "appointment_event"
    reads = WORK_INTERNAL
    decider = Role.DISPATCHER

    appointment_id: Mapped[UUID] = reference("appointment", merge=Merge.APPEND_ONLY)
    from_status: Mapped[AppointmentStatus] = column(
        merge=Merge.APPEND_ONLY, description="What the appointment was when the server received it."
    )
    to_status: Mapped[AppointmentStatus] = column(merge=Merge.APPEND_ONLY)
    occurred_at: Mapped[datetime] = column(time_source=TimeSource.DEVICE, merge=Merge.APPEND_ONLY)
    latitude: Mapped[float | None] = column(merge=Merge.APPEND_ONLY, minimum=-90, maximum=90)
    longitude: Mapped[float | None] = column(merge=Merge.APPEND_ONLY, minimum=-180, maximum=180)
    account_id: Mapped[UUID] = column(merge=Merge.SERVER_ONLY, description="Who reported it.")
    technician_id: Mapped[UUID | None] = reference(
        "technician", merge=Merge.SERVER_ONLY, description="Whose step it was; null for the office's."
    )
    device_id: Mapped[UUID | None] = column(merge=Merge.SERVER_ONLY)
    accepted_as: Mapped[AcceptedAs] = column(merge=Merge.SERVER_ONLY, default=AcceptedAs.NORMAL)
    clock_suspect: Mapped[bool] = column(
        merge=Merge.SERVER_ONLY,
        default=False,
        description=(
            "The device's clock cannot have been right: when the server received it, `occurredAt` was more"
            f" than {AHEAD.days} day ahead or more than {BEHIND.days} days ago, or before an earlier step"
            " of the same device."
        ),
    )
    note: Mapped[str | None] = column(2000, merge=Merge.APPEND_ONLY)

    def scopes(self) -> Iterable[UUID | None]:
        return (self.appointment_id,)
