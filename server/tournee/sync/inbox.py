"""Deciding conflicts."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from tournee.kernel.actor import Actor, Scope
from tournee.kernel.command import command
from tournee.kernel.conflict import Conflict, ConflictKind, ConflictStatus, Resolution
from tournee.kernel.database import now
from tournee.kernel.errors import Blocked, TransitionNotAllowed
from tournee.kernel.transaction import Transaction


@dataclass(frozen=True)
class ResolveConflict:
    """Which conflict, and what was decided."""

    conflict_id: UUID
    note: str | None = None


@command(Scope.CONFLICTS_WRITE)
async def resolve_conflict(tx: Transaction, actor: Actor, do: ResolveConflict) -> Conflict:
    """Mark a conflict as decided: the record stands as it is now, what to correct was corrected."""
    conflict = await tx.find(Conflict, do.conflict_id, "conflictId")
    if conflict.kind is ConflictKind.WORK_SURRENDERED:
        raise Blocked("Accept this work or dismiss it.", "conflictId")
    if conflict.status is not ConflictStatus.OPEN:
        raise TransitionNotAllowed("This conflict was decided already.", "conflictId")
    conflict.status = ConflictStatus.RESOLVED
    conflict.resolution = Resolution.ACKNOWLEDGED
    conflict.note = do.note
    conflict.resolved_by_id = actor.id
    conflict.resolved_at = now()
    return conflict
