"""Appointments, who is assigned to them and what happened on them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped

from tournee.auth.roles import Role
from tournee.kernel.entity import Entity
from tournee.kernel.errors import Invalid
from tournee.kernel.fields import Merge, column, reference
from tournee.kernel.ranks import rank_index
from tournee.kernel.times import AHEAD, BEHIND, TimeSource
from tournee.work.permissions import WORK_INTERNAL, WORK_READ
from tournee.work.states import APPOINTMENT, OVER, PLANNED, AppointmentStatus, refuse


class LockMode(StrEnum):
    """What an optimiser may change about the appointment."""

    OPTIMIZE = "OPTIMIZE"
    """It may be moved and given to somebody else."""
    DONT_MOVE = "DONT_MOVE"
    """Time and technician are fixed; planning works around it."""
    IGNORE = "IGNORE"
    """Planning does not look at it."""


class Outcome(StrEnum):
    """Whether a finished visit finished the work."""

    DONE = "DONE"
    """The work is finished."""
    PARTIAL = "PARTIAL"
    """Another visit is needed."""


class AcceptedAs(StrEnum):
    """How a step was recorded: as planned, or as a fact that the plan did not foresee."""

    NORMAL = "NORMAL"
    """The plan allowed this step."""
    FACT = "FACT"
    """The plan had changed, but the step had happened and was recorded."""


# What `until` holds while a visit is not over.
NOT_OVER = datetime(9999, 12, 31, tzinfo=UTC)


class Appointment(Entity):
    """One visit. Its minutes and actual times follow from its events."""

    __tablename__ = "appointment"
    reads = WORK_READ
    decider = Role.DISPATCHER
    __table_args__ = (
        Index("ix_appointment_starts_at", "organisation_id", "starts_at"),
        Index("ix_appointment_created_at", "organisation_id", "created_at"),
        Index("ix_appointment_status", "organisation_id", "status"),
        rank_index("appointment", "status", AppointmentStatus),
    )

    work_order_id: Mapped[UUID] = reference("work_order", merge=Merge.SERVER_ONLY)
    """The order that the visit is for."""
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
    """One line for lists and calendars; taken from the order if none is given."""
    instructions: Mapped[str | None] = column()
    """What the technician has to know beforehand; null if nothing."""
    status: Mapped[AppointmentStatus] = column(merge=Merge.STATE_MACHINE, default=AppointmentStatus.NONE)
    """Where the visit stands. Commands such as `dispatchAppointment` and `startWork` change it."""
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
    """When the technician first reported to be on site; null until then."""
    actual_start: Mapped[datetime | None] = column(time_source=TimeSource.DERIVED, merge=Merge.SERVER_ONLY)
    """When work first began; null until then."""
    actual_end: Mapped[datetime | None] = column(time_source=TimeSource.DERIVED, merge=Merge.SERVER_ONLY)
    """When the visit was ended; null until then."""
    travel_minutes: Mapped[int] = column(merge=Merge.SERVER_ONLY, default=0)
    """Minutes on the way, worked out from the visit's steps."""
    work_minutes: Mapped[int] = column(merge=Merge.SERVER_ONLY, default=0)
    """Minutes at work, worked out from the visit's steps."""
    break_minutes: Mapped[int] = column(merge=Merge.SERVER_ONLY, default=0)
    """Minutes paused, worked out from the visit's steps."""
    outcome: Mapped[str | None] = column(
        2000, merge=Merge.STATE_MACHINE, description="What was said at the end."
    )
    cancel_reason: Mapped[str | None] = column(2000, merge=Merge.STATE_MACHINE)
    """Why the office called it off; null unless it did."""
    lock_mode: Mapped[LockMode] = column(default=LockMode.OPTIMIZE)
    """What automatic planning may do with it."""

    def scopes(self) -> Iterable[UUID | None]:
        return (self.id,)

    def check(self) -> None:
        if not self.summary.strip():
            raise Invalid("An appointment needs a summary.", "summary")
        _check_span(self.starts_at, self.ends_at, "endsAt", "An appointment")
        _check_span(self.arrival_window_start, self.arrival_window_end, "arrivalWindowEnd", "A window")

    def move(self, to: AppointmentStatus, *, only_from: Iterable[AppointmentStatus] | None = None) -> None:
        """Take the status `to` if the table allows it, and `only_from` does not forbid it."""
        if only_from is not None and self.status not in only_from:
            refuse(APPOINTMENT, self.status, to)
        APPOINTMENT.require(self.status, to)
        self.status = to

    @property
    def until(self) -> datetime:
        """Return until when the visit counts for a device's window: its end, once it is over."""
        if self.status not in OVER:
            return NOT_OVER
        return self.ends_at or self.actual_end or self.created_at

    def ends(self) -> datetime:
        return self.until

    def schedule(self, starts_at: datetime, ends_at: datetime) -> None:
        """Set its time; if it already had one, it keeps its status until somebody has left."""
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
        raise Invalid(f"{what} needs both a start and an end, or neither.", field)
    if start is not None and end is not None and end <= start:
        raise Invalid(f"{what} must end after it starts.", field)


class Assignment(Entity):
    """A technician is or was assigned to an appointment. Taking a technician off keeps the row."""

    __tablename__ = "assignment"
    reads = WORK_READ
    decider = Role.DISPATCHER
    __table_args__ = (
        UniqueConstraint("organisation_id", "appointment_id", "technician_id"),
        # What a technician holds now, among the visits of years.
        Index("ix_assignment_until", "organisation_id", "technician_id", "until"),
    )

    appointment_id: Mapped[UUID] = reference("appointment", merge=Merge.SERVER_ONLY)
    """The visit to go to."""
    technician_id: Mapped[UUID] = reference("technician", merge=Merge.SERVER_ONLY)
    """The technician who goes."""
    lead: Mapped[bool] = column(merge=Merge.STATE_MACHINE, default=False)
    """Whether this technician is in charge of the visit."""
    active: Mapped[bool] = column(merge=Merge.STATE_MACHINE, default=True)
    """False once the technician was taken off."""
    until: Mapped[datetime] = column(
        private=True, time_source=TimeSource.DERIVED, merge=Merge.SERVER_ONLY, default=NOT_OVER
    )
    """As `Appointment.until` of the visit."""

    def scopes(self) -> Iterable[UUID | None]:
        return (self.appointment_id,)

    def ends(self) -> datetime:
        return self.until if self.active else self.created_at


class AppointmentEvent(Entity):
    """A step of a visit and its time; it never changes."""

    __tablename__ = "appointment_event"
    reads = WORK_INTERNAL
    is_fact = True
    decider = Role.DISPATCHER

    appointment_id: Mapped[UUID] = reference("appointment", merge=Merge.APPEND_ONLY)
    """The visit whose status changed."""
    from_status: Mapped[AppointmentStatus] = column(
        merge=Merge.APPEND_ONLY, description="The visit's status when the server received the step."
    )
    to_status: Mapped[AppointmentStatus] = column(merge=Merge.APPEND_ONLY)
    """The status that the step led to."""
    occurred_at: Mapped[datetime] = column(time_source=TimeSource.DEVICE, merge=Merge.APPEND_ONLY)
    """When it happened, by the device's clock."""
    latitude: Mapped[float | None] = column(merge=Merge.APPEND_ONLY, minimum=-90, maximum=90)
    """Degrees, WGS 84, where the device was; null if it reported no place."""
    longitude: Mapped[float | None] = column(merge=Merge.APPEND_ONLY, minimum=-180, maximum=180)
    """Degrees, WGS 84, where the device was; null if it reported no place."""
    account_id: Mapped[UUID] = column(merge=Merge.SERVER_ONLY, description="Who reported it.")
    technician_id: Mapped[UUID | None] = reference(
        "technician",
        merge=Merge.SERVER_ONLY,
        description="The technician whose step it was; null for the office's steps.",
    )
    device_id: Mapped[UUID | None] = column(merge=Merge.SERVER_ONLY)
    """The device that reported it; null if it was done online."""
    accepted_as: Mapped[AcceptedAs] = column(merge=Merge.SERVER_ONLY, default=AcceptedAs.NORMAL)
    """Whether the plan allowed the step when the server received it."""
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
    """What the technician wrote with it; null if nothing."""

    def scopes(self) -> Iterable[UUID | None]:
        return (self.appointment_id,)
