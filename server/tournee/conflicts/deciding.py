"""The parts of a decision: what was asked, what it is about, and what it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from tournee.auth.roles import Role
from tournee.conflicts.permissions import CONFLICTS_WRITE
from tournee.kernel.actor import Actor
from tournee.kernel.command import Command
from tournee.kernel.conflict import Conflict, ConflictStatus, Resolution
from tournee.kernel.entity import Entity
from tournee.kernel.inputs import Limits
from tournee.kernel.transaction import Transaction
from tournee.kernel.values import wire_value


class Take(StrEnum):
    """Whose value a field gets."""

    MINE = "MINE"
    """The device's value."""
    THEIRS = "THEIRS"
    """The other side's value."""
    OTHER = "OTHER"
    """A third value, given beside it."""


@dataclass(frozen=True)
class FieldChoice:
    """The value of one disputed field; OTHER comes with a value."""

    name: Annotated[str, Limits(length=60)]
    """The field's name, as in `base`, `mine` and `theirs`."""
    take: Take
    """Which value the field gets."""
    value: Any = None
    """The value for `OTHER`; left out otherwise."""


@dataclass(frozen=True)
class FollowUp:
    """What to do next, and when and by whom, if that is known."""

    summary: Annotated[str | None, Limits(length=200)] = None
    """One line about what is left; null for `Follow-up:` and the name of the order or record."""
    starts_at: datetime | None = None
    """Null to plan it later."""
    ends_at: datetime | None = None
    """Null to plan it later."""
    technician_id: UUID | None = None
    """Who goes; null to decide that later."""


@dataclass(frozen=True)
class ResolveConflict:
    """Which conflict, the decision, and what it needs: `fields` for MERGE_FIELDS, `technicianId` for
    REASSIGN, a `note` for REOPEN; `followUp` may come with FOLLOW_UP.

    `despiteChanges` decides although the record has changed since the conflict was found.
    """

    conflict_id: UUID
    """The conflict that is decided."""
    resolution: Resolution = Resolution.ACKNOWLEDGED
    """The decision; `availableResolutions` of the conflict says which are allowed."""
    note: Annotated[str | None, Limits(length=2000)] = None
    """The reason, which is kept with the conflict; null for none."""
    fields: list[FieldChoice] = field(default_factory=list)
    """For `MERGE_FIELDS`: what becomes of each field."""
    technician_id: UUID | None = None
    """For `REASSIGN`: the technician who gets the visit. Null for other decisions."""
    follow_up: FollowUp | None = None
    """For `FOLLOW_UP`: what to make; null for an order or visit without a time."""
    despite_changes: bool = False
    """Decide although the record has changed since the conflict was found."""


@dataclass(frozen=True)
class Situation:
    """Who decides about what: the conflict, and its record as it is now, deleted or not.

    Without a record, the conflict has none or the decider cannot see it.
    """

    actor: Actor
    conflict: Conflict
    row: Entity | None


# Functions that return what prevents a decision, as sentences; and that carry it out, and may return the
# follow-up's id.
Against = Callable[[Situation], list[str]]
CarryOut = Callable[[Transaction, Situation, ResolveConflict], Awaitable[UUID | None]]


def nothing_against(_: Situation) -> list[str]:
    return []


async def nothing_to_do(_tx: Transaction, _situation: Situation, _do: ResolveConflict) -> None:
    """Leave the record as it is."""


@dataclass(frozen=True)
class Way:
    """How a legal decision is carried out. `needs` names the parts of the input that it requires."""

    carry_out: CarryOut = nothing_to_do
    against: Against = nothing_against
    needs: tuple[str, ...] = ()


async def perform(tx: Transaction, command: Command[Any, Any], **payload: Any) -> Any:
    """Run a command as part of the decision, with the permissions of the decider."""
    tx.actor.require(command.permission)
    given = {name: wire_value(value) for name, value in payload.items()}
    async with tx.carrying_out(command.name):
        return await command(tx, tx.actor, command.parse(given))


def against_deciding(conflict: Conflict) -> list[str]:
    """Return why the conflict cannot be decided: it was decided before."""
    return [] if conflict.status is ConflictStatus.OPEN else ["This conflict was decided already."]


def against_deciding_by(actor: Actor, conflict: Conflict) -> list[str]:
    """Return why this actor cannot decide it: another role does, or a manager."""
    decides = actor.role in (conflict.role, Role.MANAGER) and actor.may(CONFLICTS_WRITE)
    return [] if decides else [f"Only the role {conflict.role} may decide this."]


def against_record(situation: Situation) -> list[str]:
    """Return why the decision is not possible: it needs a record."""
    if situation.row is None:
        return ["The record does not exist, or you may not see it."]
    return ["The record was deleted."] if situation.row.deleted else []
