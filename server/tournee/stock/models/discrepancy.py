"""Discrepancies: a level below zero is a task for somebody, never a refusal."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped

from tournee.auth.roles import Role
from tournee.kernel.entity import Entity, now
from tournee.kernel.fields import Merge, column, reference
from tournee.kernel.periods import Span, in_periods
from tournee.kernel.state import Machine, Transition
from tournee.kernel.times import TimeSource
from tournee.stock.models.parts import QUANTITY
from tournee.stock.permissions import STOCK_READ


class DiscrepancyStatus(StrEnum):
    """Open until somebody has found the cause."""

    OPEN = "OPEN"
    """Nobody has explained it yet."""
    RESOLVED = "RESOLVED"
    """A count or a movement explains it."""


class Settlement(StrEnum):
    """What explained it."""

    COUNT = "COUNT"
    """Somebody counted again."""
    MOVEMENT = "MOVEMENT"
    """A movement that was missing has been recorded."""


class StockDiscrepancy(Entity):
    """More was taken from a place than was known to be there: somebody has to find out why."""

    __tablename__ = "stock_discrepancy"
    reads = STOCK_READ
    decider = Role.DISPATCHER
    machine: ClassVar = Machine({DiscrepancyStatus.OPEN: (DiscrepancyStatus.RESOLVED,)})

    part_id: Mapped[UUID] = reference("part", merge=Merge.SERVER_ONLY)
    """The part of which there is too little."""
    location_id: Mapped[UUID] = reference("stock_location", merge=Merge.SERVER_ONLY)
    """The place where it is missing."""
    status: Mapped[DiscrepancyStatus] = column(merge=Merge.STATE_MACHINE, default=DiscrepancyStatus.OPEN)
    """Whether somebody still has to look."""
    role: Mapped[str] = column(
        40,
        of=Role,
        merge=Merge.SERVER_ONLY,
        default="DISPATCHER",
        description="The role that has to find the cause.",
    )
    level: Mapped[int] = column(
        merge=Merge.SERVER_ONLY,
        type_=BigInteger,
        minimum=-(2**53) + 1,
        maximum=2**53 - 1,
        description=f"The level, as long as the task is open. {QUANTITY}",
    )
    movement_id: Mapped[UUID] = reference(
        "stock_movement", merge=Merge.SERVER_ONLY, description="The movement that took it below zero."
    )
    settlement: Mapped[Settlement | None] = column(merge=Merge.SERVER_ONLY)
    """How it was explained; null while it is open."""
    settled_by_count_id: Mapped[UUID | None] = reference("stock_count", merge=Merge.SERVER_ONLY)
    """The count that explained it; null if a movement did, or nothing yet."""
    settled_by_movement_id: Mapped[UUID | None] = reference("stock_movement", merge=Merge.SERVER_ONLY)
    """The movement that explained it; null if a count did, or nothing yet."""
    note: Mapped[str | None] = column(2000, merge=Merge.SERVER_ONLY)
    """What the person who resolved it wrote; null if nothing."""
    resolved_by_id: Mapped[UUID | None] = column(merge=Merge.SERVER_ONLY)
    """The account that resolved it; null while it is open."""
    resolved_at: Mapped[datetime | None] = column(time_source=TimeSource.SERVER, merge=Merge.SERVER_ONLY)
    """Null while it is open."""

    def spans(self) -> Iterable[Span]:
        return () if self.resolved_at is None else (Span.at(self.location_id, self.resolved_at),)

    def scopes(self) -> Iterable[UUID | None]:
        return in_periods(self) or (self.location_id,)

    def is_over(self) -> bool:
        return self.status is DiscrepancyStatus.RESOLVED

    def obstacles(self) -> list[str]:
        """Return why it cannot be settled yet."""
        if self.level < 0:
            return ["The level is still below zero: count, or record the movement that is missing."]
        return []

    def transitions(self) -> list[Transition]:
        """Return the statuses that it can take now."""
        return self.machine.transitions(self.status, {DiscrepancyStatus.RESOLVED: self.obstacles()})

    def resolve(self, by: UUID, note: str | None, *, count_id: UUID | None, movement_id: UUID | None) -> None:
        """Settle it: a count or a movement explains it, and the level is no longer below zero."""
        self.machine.require(self.status, DiscrepancyStatus.RESOLVED, self.obstacles())
        self.status, self.note = DiscrepancyStatus.RESOLVED, note
        self.settlement = Settlement.MOVEMENT if count_id is None else Settlement.COUNT
        self.settled_by_count_id, self.settled_by_movement_id = count_id, movement_id
        self.resolved_by_id, self.resolved_at = by, now()
