"""Technicians, what planning knows of them, and the window of their devices."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped

from tournee.auth.roles import Role
from tournee.kernel.buckets import TIME_ZONES
from tournee.kernel.entity import Entity, now
from tournee.kernel.errors import Invalid
from tournee.kernel.fields import Merge, column, reference
from tournee.kernel.times import TimeSource
from tournee.people.permissions import PEOPLE_READ

WINDOW_BEHIND = timedelta(days=14)
WINDOW_AHEAD = timedelta(days=28)


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
        if self.time_zone not in TIME_ZONES:
            raise Invalid("There is no such time zone; use an IANA name.", "timeZone")


class OfTechnician:
    """A record about one technician: in the field, no other devices carry it."""

    technician_id: Mapped[UUID] = reference("technician")
    """The technician whom this record is about."""

    def scopes(self) -> Iterable[UUID | None]:
        return (self.technician_id,)


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
