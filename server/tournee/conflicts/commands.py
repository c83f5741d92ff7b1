"""Deciding conflicts. The numbers are those of schema/sync.md, "Conflicts"."""

from __future__ import annotations

from sqlalchemy import select

from tournee.conflicts.deciding import (
    ResolveConflict,
    Situation,
    Way,
    against_deciding,
    against_deciding_by,
)
from tournee.conflicts.permissions import CONFLICTS_WRITE
from tournee.conflicts.table import ways
from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.conflict import Conflict
from tournee.kernel.entity import Entity, new_id, now
from tournee.kernel.errors import (
    Blocked,
    Forbidden,
    Invalid,
    NotFound,
    ResolutionNotAllowed,
    Stale,
    TransitionNotAllowed,
)
from tournee.kernel.fields import camel
from tournee.kernel.registry import BY_NAME
from tournee.kernel.transaction import Transaction
from tournee.kernel.values import present
from tournee.kernel.visibility import visible


@command(CONFLICTS_WRITE)
async def resolve_conflict(tx: Transaction, actor: Actor, do: ResolveConflict) -> Conflict:
    """Decide a conflict, in one of its `availableResolutions`; ordinary commands carry the decision out."""
    row = await _record(tx, do)
    conflict = await tx.find(Conflict, do.conflict_id, "conflictId")
    _require_may_decide(conflict, actor)
    situation = Situation(actor, conflict, row)
    way = _way(situation, do)
    if not do.despite_changes:
        _require_unchanged(situation)
    # 4. One id in the log for everything that the decision changes.
    tx.current.id = conflict.resolution_operation_id = new_id()
    tx.current.deciding = True
    conflict.follow_up_id = await way.carry_out(tx, situation, do)
    # 5. Both people who caused it pull this.
    conflict.resolve(do.resolution, do.note, actor.id, now())
    conflict.decided = None if row is None else present(row, conflict.standing)
    return conflict


async def _record(tx: Transaction, do: ResolveConflict) -> Entity | None:
    """Return the conflict's record, locked before the conflict, in the same order as when it was raised."""
    found = await tx.session.execute(
        select(Conflict.entity, Conflict.record_id).where(
            Conflict.id == do.conflict_id, visible(Conflict, tx.actor)
        )
    )
    about = found.one_or_none()
    if about is None:
        raise NotFound("There is no such Conflict.", "conflictId")
    entity, record_id = about
    if entity not in BY_NAME:
        return None
    try:
        return await tx.find_deleted(BY_NAME[entity], record_id, base=0)
    except NotFound:
        return None


def _require_may_decide(conflict: Conflict, actor: Actor) -> None:
    """3. Raise unless the actor has the role that decides, or is a manager, and the conflict is open."""
    if against := against_deciding(conflict):
        raise TransitionNotAllowed(" ".join(against), "conflictId")
    if against := against_deciding_by(actor, conflict):
        raise Forbidden(" ".join(against))


def _way(situation: Situation, do: ResolveConflict) -> Way:
    legal = ways(situation.conflict.kind)
    if do.resolution not in legal:
        offered = ", ".join(legal)
        raise ResolutionNotAllowed(f"{situation.conflict.kind} can be decided by: {offered}.", "resolution")
    way = legal[do.resolution]
    if against := way.against(situation):
        raise Blocked(" ".join(against), "resolution")
    given = {camel(name) for name, value in vars(do).items() if value not in (None, [])}
    for name in way.needs:
        if name not in given:
            raise Invalid(f"{do.resolution} needs {name}.", name)
    return way


def _require_unchanged(situation: Situation) -> None:
    """Raise Stale unless the disputed fields still have the values they had when the conflict was found."""
    conflict, row = situation.conflict, situation.row
    if row is None:
        return
    held = present(row, conflict.standing)
    changed = {name: value for name, value in held.items() if value != conflict.standing[name]}
    if changed:
        said = ", ".join(f"{name} is now {value}" for name, value in sorted(changed.items()))
        raise Stale(f"The record has changed since: {said}.", "conflictId", details=changed)
