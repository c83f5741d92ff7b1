"""The conflict inbox: what two people decided differently, kept for the role that may decide."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from sqlalchemy import Index
from sqlalchemy.orm import Mapped

from tournee.kernel.actor import Permission
from tournee.kernel.declared import Declared
from tournee.kernel.entity import Base, DeclaredName, Entity
from tournee.kernel.fields import Merge, column
from tournee.kernel.times import TimeSource

CONFLICTS_READ = Permission("conflicts:read", "The conflict inbox")


class ConflictStatus(StrEnum):
    """Open until somebody with the right role has decided."""

    OPEN = "OPEN"
    """Waits for the role that decides."""
    RESOLVED = "RESOLVED"
    """Decided, or settled by a rule."""


class Resolution(StrEnum):
    """The decision. Which ones are legal depends on the kind of conflict."""

    KEEP_THEIRS = "KEEP_THEIRS"
    """What the other side did stays."""
    TAKE_MINE = "TAKE_MINE"
    """What the device did replaces it."""
    MERGE_FIELDS = "MERGE_FIELDS"
    """Each field is decided by itself."""
    REOPEN = "REOPEN"
    """The closed record is opened again, so that the work counts there."""
    REASSIGN = "REASSIGN"
    """The work is given to somebody else."""
    FOLLOW_UP = "FOLLOW_UP"
    """A new record is made for what is left."""
    ACKNOWLEDGED = "ACKNOWLEDGED"
    """Seen; nothing changes."""
    RETRY = "RETRY"
    """The device's operation is carried out now."""
    DISMISS = "DISMISS"
    """The device's operation is given up."""


class ConflictKind(Declared):
    """The kind of a conflict.

    The kernel declares the kinds that any record can have; a domain declares its own. `resolutions` are the
    legal decisions. `decider` is the role that decides; if a kind names none, the entity's `decider` does.
    """

    __slots__ = ("decider", "resolutions")
    resolutions: tuple[Resolution, ...]
    decider: str | None

    def __new__(
        cls, name: str, description: str, *resolutions: Resolution, decider: str | None = None
    ) -> Self:
        made = super().__new__(cls, name, description)
        made.resolutions, made.decider = resolutions, decider
        return made


FIELD_CHANGED_BY_BOTH = ConflictKind(
    "FIELD_CHANGED_BY_BOTH",
    "Both sides changed the same field.",
    Resolution.KEEP_THEIRS,
    Resolution.TAKE_MINE,
    Resolution.MERGE_FIELDS,
    Resolution.ACKNOWLEDGED,
)
STATE_CHANGED_BY_BOTH = ConflictKind(
    "STATE_CHANGED_BY_BOTH",
    "The record's new status does not allow the step.",
    Resolution.KEEP_THEIRS,
    Resolution.TAKE_MINE,
    Resolution.FOLLOW_UP,
)
RECORD_DELETED_MEANWHILE = ConflictKind(
    "RECORD_DELETED_MEANWHILE",
    "One side deleted the record; the other worked on it.",
    Resolution.KEEP_THEIRS,
    Resolution.TAKE_MINE,
)
RECORD_ON_CLOSED_PARENT = ConflictKind(
    "RECORD_ON_CLOSED_PARENT",
    "Work was recorded on a closed record.",
    Resolution.REOPEN,
    Resolution.FOLLOW_UP,
    Resolution.ACKNOWLEDGED,
)
# A conflict of this kind is already resolved when it is written.
VALUE_SET_ASIDE = ConflictKind(
    "VALUE_SET_ASIDE",
    "A rule settled it, and nobody has to decide: `MAX` or `MIN` set a value aside, "
    "or its own device had replaced it later.",
    Resolution.ACKNOWLEDGED,
)

Base.registry.update_type_annotation_map({ConflictKind: DeclaredName(ConflictKind)})


class Conflict(Entity):
    """A conflict between work done on a device and a change made meanwhile.

    `base`, `mine` and `theirs` map field names to values: at the time the device last saw the
    record, as the device left it, and as the other side left it. `standing` is what stood when the
    conflict was found, `decided` what stood after the decision.
    """

    __tablename__ = "conflict"
    __table_args__ = (Index("ix_conflict_record", "organisation_id", "record_id"),)
    reads = CONFLICTS_READ
    decider = None

    kind: Mapped[ConflictKind] = column(merge=Merge.SERVER_ONLY)
    """What kind of conflict it is, and so how it may be decided."""
    status: Mapped[ConflictStatus] = column(merge=Merge.STATE_MACHINE, default=ConflictStatus.OPEN)
    """Whether somebody still has to decide."""
    role: Mapped[str] = column(40, merge=Merge.SERVER_ONLY, description="The role that decides.")
    entity: Mapped[str] = column(60, merge=Merge.SERVER_ONLY, description="The type of the record.")
    record_id: Mapped[UUID] = column(merge=Merge.SERVER_ONLY)
    """The record that it is about."""
    command: Mapped[str] = column(80, merge=Merge.SERVER_ONLY)
    """The command from the device that met the other change."""
    operation_id: Mapped[UUID | None] = column(merge=Merge.SERVER_ONLY)
    """The device's operation; null if a command online caused it."""
    actor_id: Mapped[UUID] = column(
        merge=Merge.SERVER_ONLY, description="The account that made the device's change."
    )
    device_id: Mapped[UUID | None] = column(merge=Merge.SERVER_ONLY)
    """The device whose work caused the conflict; null if it was done online."""
    operation_ids: Mapped[list[str]] = column(
        merge=Merge.SERVER_ONLY, default=list, of=UUID, description="All operations that took part in it."
    )
    their_actor_id: Mapped[UUID | None] = column(
        merge=Merge.SERVER_ONLY, description="The account that made the other change, if it was a single one."
    )
    occurred_at: Mapped[datetime] = column(time_source=TimeSource.DEVICE, merge=Merge.SERVER_ONLY)
    """When the device's side was done, by its clock."""
    base: Mapped[dict[str, Any]] = column(merge=Merge.SERVER_ONLY)
    """Field names and values as the device last saw them."""
    mine: Mapped[dict[str, Any]] = column(merge=Merge.SERVER_ONLY)
    """Field names and values as the device left them."""
    theirs: Mapped[dict[str, Any]] = column(merge=Merge.SERVER_ONLY)
    """Field names and values as the other side left them."""
    standing: Mapped[dict[str, Any]] = column(merge=Merge.SERVER_ONLY, default=dict)
    """Field names and values that stood when the conflict was found."""
    resolution: Mapped[Resolution | None] = column(merge=Merge.SERVER_ONLY)
    """What was decided; null while it is open."""
    note: Mapped[str | None] = column(2000, merge=Merge.SERVER_ONLY)
    """What the person who decided wrote; null if nothing."""
    resolved_by_id: Mapped[UUID | None] = column(merge=Merge.SERVER_ONLY)
    """The account that decided; null while it is open."""
    resolved_at: Mapped[datetime | None] = column(time_source=TimeSource.SERVER, merge=Merge.SERVER_ONLY)
    """Null while it is open."""
    decided: Mapped[dict[str, Any] | None] = column(merge=Merge.SERVER_ONLY)
    """Field names and values that stood after the decision; null while it is open."""
    follow_up_id: Mapped[UUID | None] = column(
        merge=Merge.SERVER_ONLY, description="The record made to follow up; null if there is none."
    )
    resolution_operation_id: Mapped[UUID | None] = column(
        merge=Merge.SERVER_ONLY,
        description="The operation id that the log has with every change of the decision.",
    )

    def scopes(self) -> Iterable[UUID | None]:
        """Both people who caused it see the decision."""
        return {self.actor_id, self.their_actor_id}

    def is_over(self) -> bool:
        return self.status is ConflictStatus.RESOLVED

    def involve(self, operation_id: UUID | None) -> None:
        """Add an operation to those that caused it."""
        known = set(self.operation_ids or ())
        if operation_id is not None and str(operation_id) not in known:
            self.operation_ids = [*(self.operation_ids or ()), str(operation_id)]

    def resolve(self, resolution: Resolution, note: str | None, by: UUID | None, at: datetime) -> None:
        self.status = ConflictStatus.RESOLVED
        self.resolution, self.note = resolution, note
        self.resolved_by_id, self.resolved_at = by, at
