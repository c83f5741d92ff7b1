"""The conflict inbox: what two people decided differently, kept for the role that may decide."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped

from tournee.kernel.actor import Scope
from tournee.kernel.entity import Entity
from tournee.kernel.fields import Merge, column
from tournee.kernel.times import TimeSource


class ConflictKind(StrEnum):
    """What clashed."""

    FIELD_CHANGED_BY_BOTH = "FIELD_CHANGED_BY_BOTH"
    STATE_CHANGED_BY_BOTH = "STATE_CHANGED_BY_BOTH"
    RECORD_DELETED_MEANWHILE = "RECORD_DELETED_MEANWHILE"
    VISIT_ON_CANCELED_APPOINTMENT = "VISIT_ON_CANCELED_APPOINTMENT"
    VISIT_ON_REASSIGNED_APPOINTMENT = "VISIT_ON_REASSIGNED_APPOINTMENT"
    VISIT_OUT_OF_STEP = "VISIT_OUT_OF_STEP"
    RECORD_ON_CLOSED_PARENT = "RECORD_ON_CLOSED_PARENT"
    WORK_SURRENDERED = "WORK_SURRENDERED"
    OPERATION_REJECTED = "OPERATION_REJECTED"
    OPERATION_QUARANTINED = "OPERATION_QUARANTINED"
    RECORD_ON_REASSIGNED_PARENT = "RECORD_ON_REASSIGNED_PARENT"
    # Nobody has to decide: a rule settled it, and it is kept for people to read.
    VALUE_SET_ASIDE = "VALUE_SET_ASIDE"


class ConflictStatus(StrEnum):
    """Open until somebody with the right role has decided."""

    OPEN = "OPEN"
    RESOLVED = "RESOLVED"


class Resolution(StrEnum):
    """What the decision was. Which are legal depends on the kind."""

    KEEP_THEIRS = "KEEP_THEIRS"
    TAKE_MINE = "TAKE_MINE"
    MERGE_FIELDS = "MERGE_FIELDS"
    REOPEN = "REOPEN"
    REASSIGN = "REASSIGN"
    FOLLOW_UP = "FOLLOW_UP"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RETRY = "RETRY"
    DISMISS = "DISMISS"


class Conflict(Entity):
    """A clash between work done on a device and a change made meanwhile.

    `base`, `mine` and `theirs` map field names to values: at the time the device last saw the
    record, as the device left it, and as the other side left it. `standing` is what stood when the
    clash was found, `decided` what stood after the decision.
    """

    __tablename__ = "conflict"
    __table_args__ = (Index("ix_conflict_record", "organisation_id", "record_id"),)
    reads = Scope.CONFLICTS_READ

    kind: Mapped[ConflictKind] = column(merge=Merge.SERVER_ONLY)
    status: Mapped[ConflictStatus] = column(merge=Merge.STATE_MACHINE, default=ConflictStatus.OPEN)
    role: Mapped[str] = column(40, merge=Merge.SERVER_ONLY, description="The role that decides.")
    entity: Mapped[str] = column(60, merge=Merge.SERVER_ONLY, description="The type of the record.")
    record_id: Mapped[UUID] = column(merge=Merge.SERVER_ONLY)
    command: Mapped[str] = column(80, merge=Merge.SERVER_ONLY)
    operation_id: Mapped[UUID | None] = column(merge=Merge.SERVER_ONLY)
    actor_id: Mapped[UUID] = column(merge=Merge.SERVER_ONLY, description="Who did `mine`.")
    device_id: Mapped[UUID | None] = column(merge=Merge.SERVER_ONLY)
    operation_ids: Mapped[list[str]] = column(
        merge=Merge.SERVER_ONLY, default=list, description="All operations that had a part in it."
    )
    their_actor_id: Mapped[UUID | None] = column(
        merge=Merge.SERVER_ONLY, description="Who did `theirs`, where one account did."
    )
    occurred_at: Mapped[datetime] = column(time_source=TimeSource.DEVICE, merge=Merge.SERVER_ONLY)
    base: Mapped[dict[str, Any]] = column(merge=Merge.SERVER_ONLY)
    mine: Mapped[dict[str, Any]] = column(merge=Merge.SERVER_ONLY)
    theirs: Mapped[dict[str, Any]] = column(merge=Merge.SERVER_ONLY)
    standing: Mapped[dict[str, Any]] = column(merge=Merge.SERVER_ONLY, default=dict)
    resolution: Mapped[Resolution | None] = column(merge=Merge.SERVER_ONLY)
    note: Mapped[str | None] = column(2000, merge=Merge.SERVER_ONLY)
    resolved_by_id: Mapped[UUID | None] = column(merge=Merge.SERVER_ONLY)
    resolved_at: Mapped[datetime | None] = column(time_source=TimeSource.SERVER, merge=Merge.SERVER_ONLY)
    decided: Mapped[dict[str, Any] | None] = column(merge=Merge.SERVER_ONLY)
    follow_up_id: Mapped[UUID | None] = column(
        merge=Merge.SERVER_ONLY, description="The work order or appointment made to follow up."
    )
    resolution_operation_id: Mapped[UUID | None] = column(
        merge=Merge.SERVER_ONLY, description="The log names it with every change the decision made."
    )

    def scopes(self) -> Iterable[UUID | None]:
        """Both who caused it see what became of it."""
        return {self.actor_id, self.their_actor_id}

    def involve(self, operation_id: UUID | None) -> None:
        """Note that one more operation has a part in it."""
        known = set(self.operation_ids or ())
        if operation_id is not None and str(operation_id) not in known:
            self.operation_ids = [*(self.operation_ids or ()), str(operation_id)]

    def resolve(self, resolution: Resolution, note: str | None, by: UUID | None, at: datetime) -> None:
        self.status = ConflictStatus.RESOLVED
        self.resolution, self.note = resolution, note
        self.resolved_by_id, self.resolved_at = by, at
