"""The conflict inbox: what two people decided differently, kept for the role that may decide."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Mapped

from tournee.kernel.actor import Scope
from tournee.kernel.database import Entity
from tournee.kernel.fields import Merge, column


class ConflictKind(StrEnum):
    """What clashed."""

    FIELD_CHANGED_BY_BOTH = "FIELD_CHANGED_BY_BOTH"
    VISIT_ON_CANCELED_APPOINTMENT = "VISIT_ON_CANCELED_APPOINTMENT"
    VISIT_ON_REASSIGNED_APPOINTMENT = "VISIT_ON_REASSIGNED_APPOINTMENT"
    VISIT_OUT_OF_STEP = "VISIT_OUT_OF_STEP"
    RECORD_ON_CLOSED_PARENT = "RECORD_ON_CLOSED_PARENT"
    WORK_SURRENDERED = "WORK_SURRENDERED"


class ConflictStatus(StrEnum):
    """Open until somebody with the right role has decided."""

    OPEN = "OPEN"
    RESOLVED = "RESOLVED"


class Resolution(StrEnum):
    """What the decision was."""

    KEEP_THEIRS = "KEEP_THEIRS"
    TAKE_MINE = "TAKE_MINE"
    ACKNOWLEDGED = "ACKNOWLEDGED"


class Conflict(Entity):
    """A clash between work done on a device and a change made meanwhile.

    `base`, `mine` and `theirs` map field names to values: at the time the device last saw the
    record, as the device left it, and as the other side left it.
    """

    __tablename__ = "conflict"
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
    occurred_at: Mapped[datetime] = column(merge=Merge.SERVER_ONLY)
    base: Mapped[dict[str, Any]] = column(merge=Merge.SERVER_ONLY)
    mine: Mapped[dict[str, Any]] = column(merge=Merge.SERVER_ONLY)
    theirs: Mapped[dict[str, Any]] = column(merge=Merge.SERVER_ONLY)
    resolution: Mapped[Resolution | None] = column(merge=Merge.SERVER_ONLY)
    note: Mapped[str | None] = column(2000, merge=Merge.SERVER_ONLY)
    resolved_by_id: Mapped[UUID | None] = column(merge=Merge.SERVER_ONLY)
    resolved_at: Mapped[datetime | None] = column(merge=Merge.SERVER_ONLY)

    def scopes(self) -> Iterable[UUID | None]:
        """Whoever caused it sees what became of it."""
        return (self.actor_id,)
