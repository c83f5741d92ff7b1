"""Work orders: what is to be done, for whom, where, and by when."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Index, bindparam, text
from sqlalchemy.orm import Mapped, mapped_column

from tournee.auth.roles import Role
from tournee.kernel.entity import Entity, OrganisationRow
from tournee.kernel.errors import refuse_wrong
from tournee.kernel.fields import EditedBy, Merge, column, reference
from tournee.kernel.log import only_where
from tournee.kernel.numbers import Numbers
from tournee.kernel.ranks import rank_index
from tournee.kernel.search import Searched
from tournee.kernel.times import TimeSource
from tournee.work.permissions import WORK_READ
from tournee.work.states import (
    ENDED,
    SET_BY_HAND,
    WORK_ORDER,
    AppointmentStatus,
    WorkOrderStatus,
    refuse,
    roll_up,
)


class WorkOrderKind(StrEnum):
    """The kind of work: breakdown, maintenance, installation and so on."""

    BREAKDOWN = "BREAKDOWN"
    """Something has failed."""
    MAINTENANCE = "MAINTENANCE"
    """Planned upkeep."""
    INSTALLATION = "INSTALLATION"
    """Something new is put in."""
    INSPECTION = "INSPECTION"
    """Something is examined."""
    OTHER = "OTHER"
    """Anything else."""


class Priority(StrEnum):
    """How urgent the work is."""

    LOW = "LOW"
    """Whenever it fits."""
    NORMAL = "NORMAL"
    """In the usual order."""
    HIGH = "HIGH"
    """Before others."""
    URGENT = "URGENT"
    """Now. The technician's devices are notified at once."""


class WorkOrderCounter(OrganisationRow):
    """The last number that a work order of the organisation got."""

    __tablename__ = "work_order_counter"
    last: Mapped[int] = mapped_column()


_IS_OPEN = "status NOT IN ('CLOSED', 'CANCELED')"


class WorkOrder(Entity):
    """Work for a customer, carried out in one or more appointments."""

    __tablename__ = "work_order"
    reads = WORK_READ
    decider = Role.DISPATCHER
    numbers = Numbers("number", WorkOrderCounter.__tablename__, prefix="WO-", first=1001)
    searched = Searched(("number", "summary"), ("number", "external_key", "summary"))
    __table_args__ = (
        # The few that a reporter still sees, among those of years.
        Index("ix_work_order_reported", "organisation_id", "reported_by_id", **only_where(text(_IS_OPEN))),
        Index("ix_work_order_created_at", "organisation_id", "created_at"),
        Index("ix_work_order_due_at", "organisation_id", "due_at"),
        rank_index("work_order", "priority", Priority),
        rank_index("work_order", "status", WorkOrderStatus),
    )

    number: Mapped[str] = column(
        40, merge=Merge.SERVER_ONLY, index=True, description="For people, such as `WO-1042`."
    )
    customer_id: Mapped[UUID] = reference("customer", edited_by=EditedBy.OFFICE)
    """The customer who ordered the work."""
    site_id: Mapped[UUID | None] = reference("site", edited_by=EditedBy.OFFICE)
    """Where the work is done; null if it is not decided."""
    asset_id: Mapped[UUID | None] = reference("asset", edited_by=EditedBy.FIELD)
    """What is worked on; null if nothing in particular."""
    contact_id: Mapped[UUID | None] = reference("contact", edited_by=EditedBy.FIELD)
    """The person to ask at the customer; null if nobody in particular."""
    parent_id: Mapped[UUID | None] = reference(
        "work_order", description="The order that this one follows up.", edited_by=EditedBy.OFFICE
    )
    summary: Mapped[str] = column(200, edited_by=EditedBy.OFFICE)
    """One line for lists."""
    description: Mapped[str | None] = column(edited_by=EditedBy.OFFICE)
    """The whole request; null if the summary says it all."""
    kind: Mapped[WorkOrderKind] = column(default=WorkOrderKind.OTHER, edited_by=EditedBy.OFFICE)
    """The kind of work: breakdown, maintenance, installation, …"""
    priority: Mapped[Priority] = column(default=Priority.NORMAL, edited_by=EditedBy.OFFICE)
    """Which order comes first when not all can be done."""
    status: Mapped[WorkOrderStatus] = column(merge=Merge.STATE_MACHINE, default=WorkOrderStatus.NEW)
    """Where the order stands. It follows from its visits unless a command decides it."""
    substatus: Mapped[str | None] = column(
        80, description="The organisation's own label, in addition to the status.", edited_by=EditedBy.FIELD
    )
    required_skill_ids: Mapped[list[str]] = column(
        merge=Merge.SET_UNION,
        default=list,
        of=UUID,
        description="Skills that each technician sent must have.",
        edited_by=EditedBy.OFFICE,
    )
    due_at: Mapped[datetime | None] = column(time_source=TimeSource.PLAN, edited_by=EditedBy.OFFICE)
    """When the work must be done; null if there is no deadline."""
    reported_by_id: Mapped[UUID] = column(merge=Merge.SERVER_ONLY, description="The account that added it.")
    symptom: Mapped[str | None] = column(2000, edited_by=EditedBy.FIELD)
    """What the customer noticed; null if unknown."""
    cause: Mapped[str | None] = column(2000, edited_by=EditedBy.FIELD)
    """The cause that was found; null until it is known."""
    resolution: Mapped[str | None] = column(2000, edited_by=EditedBy.FIELD)
    """What was done about it; null until then."""
    hold_reason: Mapped[str | None] = column(2000, merge=Merge.STATE_MACHINE)
    """Why it waits; null unless it is on hold."""
    cancel_reason: Mapped[str | None] = column(2000, merge=Merge.STATE_MACHINE)
    """Why it was called off; null unless it was."""
    reopen_reason: Mapped[str | None] = column(2000, merge=Merge.STATE_MACHINE)
    """Why it was last reopened; null if it never was."""
    external_key: Mapped[str | None] = column(
        200,
        merge=Merge.FIRST_WINS,
        description="The record's key in the system it was imported from.",
        edited_by=EditedBy.OFFICE,
    )

    @classmethod
    def is_open(cls) -> ColumnElement[bool]:
        """Return the condition for orders that have not ended, in the words of the index on them."""
        ended: Any = bindparam(None, ENDED, expanding=True, literal_execute=True)
        return cls.status.not_in(ended)

    def scopes(self) -> Iterable[UUID | None]:
        return (self.id,)

    def is_over(self) -> bool:
        return self.status in ENDED

    def check(self) -> None:
        refuse_wrong(
            (not self.summary.strip(), "A work order needs a summary.", "summary"),
            (self.parent_id == self.id, "A work order cannot follow itself up.", "parentId"),
        )

    def hold(self, reason: str) -> None:
        WORK_ORDER.require(self.status, WorkOrderStatus.ON_HOLD)
        self.status = WorkOrderStatus.ON_HOLD
        self.hold_reason = reason

    def release(self, statuses: Collection[AppointmentStatus]) -> None:
        """End a draft or a hold; a held order takes the status that its appointments imply."""
        to = WorkOrderStatus.NEW if self.status is WorkOrderStatus.DRAFT else roll_up(statuses)
        if self.status not in (WorkOrderStatus.DRAFT, WorkOrderStatus.ON_HOLD):
            refuse(WORK_ORDER, self.status, to)
        self.status = to
        self.hold_reason = None

    def cancel(self, reason: str) -> None:
        WORK_ORDER.require(self.status, WorkOrderStatus.CANCELED)
        self.status = WorkOrderStatus.CANCELED
        self.cancel_reason = reason

    def close(self) -> None:
        WORK_ORDER.require(self.status, WorkOrderStatus.CLOSED)
        self.status = WorkOrderStatus.CLOSED

    def reopen(self, reason: str) -> None:
        """Continue work: a completed order goes on, one that could not be completed is planned again."""
        to = WorkOrderStatus.IN_PROGRESS
        if self.status is WorkOrderStatus.CANNOT_COMPLETE:
            to = WorkOrderStatus.NEW
        elif self.status is not WorkOrderStatus.COMPLETED:
            refuse(WORK_ORDER, self.status, to)
        self.status = to
        self.reopen_reason = reason

    def follow(self, statuses: Collection[AppointmentStatus]) -> None:
        """Take the status that the appointments imply, unless a person decided otherwise."""
        if self.status not in SET_BY_HAND:
            self.status = roll_up(statuses)
