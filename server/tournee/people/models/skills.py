"""Skills, and who has them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from uuid import UUID

from sqlalchemy.orm import Mapped

from tournee.auth.roles import Role
from tournee.kernel.entity import Entity
from tournee.kernel.errors import Invalid
from tournee.kernel.fields import column, reference
from tournee.people.models.technicians import OfTechnician
from tournee.people.permissions import PEOPLE_READ


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
