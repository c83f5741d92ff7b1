"""Technicians: where they work, what they can do, and when they are available."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import ClassVar
from uuid import UUID
from zoneinfo import available_timezones

from sqlalchemy import ColumnElement, Index, and_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped

from tournee.auth.roles import Role
from tournee.kernel.entity import ALWAYS, Entity, now
from tournee.kernel.errors import Invalid
from tournee.kernel.fields import Merge, column, reference
from tournee.kernel.log import Entry
from tournee.kernel.membership import Concerned, MembershipRule, Pairs
from tournee.kernel.periods import WEEK, YEAR, Span, in_periods
from tournee.kernel.state import Machine, Transition
from tournee.kernel.times import TimeSource
from tournee.people.permissions import PEOPLE_READ

WINDOW_BEHIND = timedelta(days=14)
WINDOW_AHEAD = timedelta(days=28)
# Zone files outside the package differ from machine to machine.
_TIME_ZONES = available_timezones() - {"localtime", "Factory"}


class TechnicianKind(StrEnum):
    """Who employs the technician."""

    EMPLOYEE = "EMPLOYEE"
    """Employed by this organisation."""
    CONTRACTOR = "CONTRACTOR"
    """Works for another company or for themselves."""


class TechnicianStatus(StrEnum):
    """Whether the technician can be given work."""

    ACTIVE = "ACTIVE"
    """Can be planned and sent."""
    INACTIVE = "INACTIVE"
    """Has left or pauses: nothing new is planned, and their devices remove their records."""


class MembershipKind(StrEnum):
    """A technician has at most one primary territory, and may help out in others."""

    PRIMARY = "PRIMARY"
    """Their usual area."""
    SECONDARY = "SECONDARY"
    """An area in which they help out."""


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


class Territory(Entity):
    """A service area. Areas can lie inside larger ones."""

    __tablename__ = "territory"
    reads = PEOPLE_READ
    decider = Role.DISPATCHER

    name: Mapped[str] = column(120)
    """What people call this area."""
    code: Mapped[str | None] = column(40, description="Short name, as on a map or a plan.")
    parent_id: Mapped[UUID | None] = reference("territory", description="The larger area around it.")

    def scopes(self) -> Iterable[UUID | None]:
        return (self.organisation_id,)


class Skill(Entity):
    """Something that a technician can be trained or certified to do."""

    __tablename__ = "skill"
    reads = PEOPLE_READ
    decider = Role.DISPATCHER

    name: Mapped[str] = column(120)
    """What planners search for, such as a trade or a certificate."""
    description: Mapped[str | None] = column(2000)
    """What it covers and how it is proven; null if the name says it all."""
    expires: Mapped[bool] = column(
        default=False, description="Whether it rests on a certificate with an end date."
    )

    def scopes(self) -> Iterable[UUID | None]:
        return (self.organisation_id,)


def window_starts(at: datetime) -> datetime:
    """Return where a technician's window begins at this time: a whole day, so that it moves once a day."""
    return datetime.combine(at.date(), time(), at.tzinfo) - WINDOW_BEHIND


def window_ends(at: datetime) -> datetime:
    return datetime.combine(at.date(), time(), at.tzinfo) + WINDOW_AHEAD + timedelta(days=1)


class Technician(Entity):
    """A person who visits customers. Colleagues see these fields of one another."""

    __tablename__ = "technician"
    __table_args__ = (Index("uq_technician_account", "organisation_id", "account_id", unique=True),)
    reads = PEOPLE_READ
    decider = Role.DISPATCHER

    name: Mapped[str] = column(120)
    """What colleagues and customers read."""
    account_id: Mapped[UUID | None] = column(description="The account they sign in with, one each.")
    employee_number: Mapped[str | None] = column(40)
    """The number that payroll knows this person by; null if there is none."""
    kind: Mapped[TechnicianKind] = column(default=TechnicianKind.EMPLOYEE)
    """Whether we employ this person or another company does."""
    status: Mapped[TechnicianStatus] = column(default=TechnicianStatus.ACTIVE)
    """Only active technicians are sent out and hold records on their devices."""
    email: Mapped[str | None] = column(200)
    """For work; null if there is none."""
    phone: Mapped[str | None] = column(40)
    """For work; null if there is none."""
    time_zone: Mapped[str] = column(60, default="UTC", description="IANA name, such as `Europe/Paris`.")

    def scopes(self) -> Iterable[UUID | None]:
        return (self.organisation_id,)

    def check(self) -> None:
        if self.time_zone not in _TIME_ZONES:
            raise Invalid("There is no such time zone; use an IANA name.", "timeZone")


class OfTechnician:
    """A record about one technician: in the field, no other devices carry it."""

    technician_id: Mapped[UUID] = reference("technician")
    """The technician whom this record is about."""

    def scopes(self) -> Iterable[UUID | None]:
        return (self.technician_id,)


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


class TechnicianProfile(OfTechnician, Entity):
    """Details of a technician for planning, hidden from colleagues: where they live, how fast they work.

    Their devices carry the appointments between `windowFrom` and `windowTo`, which move every day, and the
    shifts, time and parts of the weeks around them.
    """

    __tablename__ = "technician_profile"
    __table_args__ = (Index("uq_technician_profile", "organisation_id", "technician_id", unique=True),)
    reads = PEOPLE_READ
    decider = Role.DISPATCHER

    home_latitude: Mapped[float | None] = column(minimum=-90, maximum=90, description="Degrees, WGS 84.")
    home_longitude: Mapped[float | None] = column(minimum=-180, maximum=180, description="Degrees, WGS 84.")
    efficiency: Mapped[float] = column(
        default=1.0, minimum=0.1, maximum=10, description="Planned durations are divided by it; 1 is usual."
    )
    window_from: Mapped[datetime] = column(
        time_source=TimeSource.PLAN, merge=Merge.SERVER_ONLY, default=lambda: window_starts(now())
    )
    """Visits that were over before this are not on the technician's devices."""
    window_to: Mapped[datetime] = column(
        time_source=TimeSource.PLAN, merge=Merge.SERVER_ONLY, default=lambda: window_ends(now())
    )
    """Visits that start at this time or later are not on the technician's devices yet."""

    def check(self) -> None:
        if (self.home_latitude is None) != (self.home_longitude is None):
            raise Invalid("Give both latitude and longitude, or neither.", "homeLongitude")

    def move_window(self, starts: datetime, ends: datetime | None = None) -> None:
        """Carry other days on the devices; without an end, the window keeps its length."""
        try:
            ends = ends or starts + (self.window_to - self.window_from)
        except OverflowError:
            raise Invalid("The window ends after the year 9999.", "windowFrom") from None
        if ends <= starts:
            raise Invalid("The window ends before it begins.", "windowTo")
        self.window_from, self.window_to = starts, ends


class TerritoryMembership(OfTechnician, Entity):
    """A technician works in a territory."""

    __tablename__ = "territory_membership"
    reads = PEOPLE_READ
    decider = Role.DISPATCHER

    territory_id: Mapped[UUID] = reference("territory")
    """The area in which the technician works."""
    kind: Mapped[MembershipKind] = column(default=MembershipKind.PRIMARY)
    """Whether this is the usual area or one to help out in."""


class TechnicianSkill(OfTechnician, Entity):
    """A skill of a technician; renewing a certificate adds another one."""

    __tablename__ = "technician_skill"
    reads = PEOPLE_READ
    decider = Role.DISPATCHER

    skill_id: Mapped[UUID] = reference("skill")
    """What the technician can do."""
    level: Mapped[int] = column(default=3, minimum=1, maximum=5, description="1 beginner … 5 expert.")
    valid_from: Mapped[date | None] = column()
    """The first day on which it counts; null if it has always counted."""
    valid_to: Mapped[date | None] = column(description="The last day on which it counts.")
    evidence: Mapped[str | None] = column(2000, description="Certificate number, examiner, where it is kept.")

    def check(self) -> None:
        if self.valid_from and self.valid_to and self.valid_to < self.valid_from:
            raise Invalid("The skill would end before it begins.", "validTo")

    def is_valid_on(self, day: date) -> bool:
        return (self.valid_from or day) <= day <= (self.valid_to or day)


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


WINDOW = (TechnicianProfile.window_from, TechnicianProfile.window_to)


def to_profile() -> ColumnElement[bool]:
    """The join of a technician with their profile, which has the window."""
    return and_(
        TechnicianProfile.organisation_id == Technician.organisation_id,
        TechnicianProfile.technician_id == Technician.id,
    )


async def _touched(_session: AsyncSession, entries: Sequence[Entry]) -> Concerned:
    """Return the accounts that were or are a technician's in these changes."""
    changed = {
        state.get("accountId") or entry.row.account_id
        for entry in entries
        if isinstance(entry.row, Technician)
        and not {"accountId", "status", "deleted"}.isdisjoint(entry.after)
        for state in (entry.before or {}, entry.after)
    }
    return Concerned(whole={account for account in changed if account is not None})


async def _held(session: AsyncSession, concerned: Concerned) -> Pairs:
    """Return the scopes of active technicians: their own records, those of the periods in their windows, and
    the organisation's catalogue.
    """
    if not concerned.whole:
        return set()
    rows = await session.execute(
        select(Technician.account_id, Technician.organisation_id, Technician.id, *WINDOW)
        .outerjoin(TechnicianProfile, to_profile())
        .where(
            Technician.account_id.in_(concerned.whole),
            Technician.status == TechnicianStatus.ACTIVE,
            Technician.deleted.is_(False),
        )
    )
    return {
        (account, scope)
        for account, organisation, own, begins, ends in rows
        if account
        for scope in (
            *(organisation, own),
            *WEEK.carried(own, begins, ends),
            *YEAR.carried(own, begins, ends, ahead=1),
        )
    }


MEMBERSHIP = MembershipRule(_touched, _held)
