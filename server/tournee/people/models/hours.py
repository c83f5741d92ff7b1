"""Shifts and absences: when technicians are available."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped

from tournee.auth.roles import Role
from tournee.kernel.entity import ALWAYS, Entity, now
from tournee.kernel.errors import Invalid
from tournee.kernel.fields import Merge, column
from tournee.kernel.periods import YEAR, Span, in_periods
from tournee.kernel.state import Machine, Transition
from tournee.kernel.times import TimeSource
from tournee.people.models.technicians import OfTechnician
from tournee.people.permissions import PEOPLE_READ


class ShiftKind(StrEnum):
    """The purpose of the hours."""

    REGULAR = "REGULAR"
    """Normal working hours."""
    OVERTIME = "OVERTIME"
    """Hours beyond the normal ones."""
    ON_CALL = "ON_CALL"
    """Not at work, but can be called out."""


class AbsenceKind(StrEnum):
    """The reason for an absence."""

    VACATION = "VACATION"
    """Paid holiday."""
    SICK = "SICK"
    """Ill, with or without a certificate."""
    TRAINING = "TRAINING"
    """At a course or an examination."""
    PARENTAL = "PARENTAL"
    """Parental leave."""
    OTHER = "OTHER"
    """Anything else; the reason says what."""


class AbsenceStatus(StrEnum):
    """Only an approved absence makes the technician unavailable."""

    REQUESTED = "REQUESTED"
    """Asked for, and not decided yet."""
    APPROVED = "APPROVED"
    """The technician can't be planned in these hours."""
    REJECTED = "REJECTED"
    """Turned down; the technician is expected at work."""
    CANCELED = "CANCELED"
    """Withdrawn before or after it was approved."""


class Timed(OfTechnician):
    """A record about some hours of a technician."""

    starts_at: Mapped[datetime] = column(time_source=TimeSource.PLAN)
    """The first moment that counts."""
    ends_at: Mapped[datetime] = column(time_source=TimeSource.PLAN)
    """The first moment that no longer counts; always after the start."""

    def ends(self) -> datetime:
        return self.ends_at

    def check(self) -> None:
        if self.ends_at <= self.starts_at:
            raise Invalid("The end must be after the beginning.", "endsAt")


class Shift(Timed, Entity):
    """Hours in which a technician works. Shifts of one technician never overlap."""

    __tablename__ = "shift"
    __table_args__ = (Index("ix_shift_time", "organisation_id", "technician_id", "starts_at"),)
    reads = PEOPLE_READ
    decider = Role.DISPATCHER

    kind: Mapped[ShiftKind] = column(default=ShiftKind.REGULAR)
    """How these hours count for pay and planning."""

    def spans(self) -> Iterable[Span]:
        return (Span(self.technician_id, self.starts_at, self.ends_at),)

    def scopes(self) -> Iterable[UUID | None]:
        return in_periods(self)


class Absence(Timed, Entity):
    """Time in which a technician is away: requested, then decided by somebody else."""

    __tablename__ = "absence"
    __table_args__ = (Index("ix_absence_time", "organisation_id", "technician_id", "starts_at"),)
    reads = PEOPLE_READ
    decider = Role.DISPATCHER
    machine: ClassVar = Machine(
        {
            AbsenceStatus.REQUESTED: (AbsenceStatus.APPROVED, AbsenceStatus.REJECTED, AbsenceStatus.CANCELED),
            AbsenceStatus.APPROVED: (AbsenceStatus.CANCELED,),
        }
    )

    kind: Mapped[AbsenceKind] = column(default=AbsenceKind.VACATION)
    """The reason in one word, for planning and payroll."""
    status: Mapped[AbsenceStatus] = column(merge=Merge.STATE_MACHINE, default=AbsenceStatus.REQUESTED)
    """Only an approved absence blocks planning."""
    reason: Mapped[str | None] = column(2000)
    """What the technician wrote when asking; null if nothing."""
    decided_by_id: Mapped[UUID | None] = column(
        merge=Merge.SERVER_ONLY, description="The account that approved or rejected it."
    )
    decided_at: Mapped[datetime | None] = column(time_source=TimeSource.SERVER, merge=Merge.SERVER_ONLY)
    """When it was approved or rejected; null until then."""
    decision_note: Mapped[str | None] = column(2000, merge=Merge.SERVER_ONLY)
    """What the person who decided wrote; null if nothing."""

    def spans(self) -> Iterable[Span]:
        """A request counts until it is decided; people plan their holidays long ahead."""
        if self.status is AbsenceStatus.REQUESTED:
            return ()
        return (Span(self.technician_id, self.starts_at, self.ends_at, YEAR),)

    def scopes(self) -> Iterable[UUID | None]:
        return in_periods(self) or (self.technician_id,)

    def ends(self) -> datetime:
        return ALWAYS if self.status is AbsenceStatus.REQUESTED else self.ends_at

    def decide(self, to: AbsenceStatus, by: UUID, note: str | None) -> None:
        """Approve or reject."""
        self.machine.require(self.status, to)
        self.status, self.decided_by_id, self.decided_at, self.decision_note = to, by, now(), note

    def cancel(self) -> None:
        """Withdraw it, whether requested or already approved."""
        self.machine.require(self.status, AbsenceStatus.CANCELED)
        self.status = AbsenceStatus.CANCELED

    def transitions(self) -> list[Transition]:
        """Return the statuses that it can take now."""
        return self.machine.transitions(self.status)
