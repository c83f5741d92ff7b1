"""Decide what a revoked device surrendered: it takes effect at its place, or it is dismissed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from sqlalchemy import select

from tournee.auth.models import Account, Device
from tournee.auth.organisations import actor_of
from tournee.auth.permissions import DEVICES_WRITE
from tournee.kernel.actor import Actor
from tournee.kernel.command import COMMANDS_BY_NAME, command
from tournee.kernel.conflict import Conflict, ConflictStatus, Resolution
from tournee.kernel.entity import now
from tournee.kernel.errors import Blocked, Invalid, TransitionNotAllowed
from tournee.kernel.inputs import Limits
from tournee.kernel.transaction import Transaction
from tournee.sync.conflicts import WORK_SURRENDERED
from tournee.sync.devices.surrender import settle, waiting
from tournee.sync.messages import Outcome, PushedOperation
from tournee.sync.push.batch import read_command
from tournee.sync.push.deciding import carry_out
from tournee.sync.waiting.given_up import give_up, id_in
from tournee.sync.waiting.overtaking import overtaking


@dataclass(frozen=True)
class AcceptSurrenderedWork:
    """The conflict, and a note about the decision."""

    conflict_id: UUID
    """The conflict of kind `WORK_SURRENDERED` that holds the work."""
    note: Annotated[str | None, Limits(length=2000)] = None
    """The reason, which is kept with the conflict; null for none."""


@command(DEVICES_WRITE)
async def accept_surrendered_work(tx: Transaction, actor: Actor, do: AcceptSurrenderedWork) -> Conflict:
    """Apply work of a revoked device, as its account and in its order; refused operations keep waiting."""
    conflict, device, queue = await _undecided(tx, do.conflict_id)
    mine = _named(conflict, queue)
    before = [operation.number for operation in queue if operation.number < mine[0].number]
    if before:
        raise Blocked(
            f"Decide first about the earlier operation, number {before[0]} of this device.", "conflictId"
        )
    (owner,) = await tx.all(select(Account).where(Account.id == device.account_id))
    async with tx.acting(actor_of(tx.organisation_id, owner.id, owner.role, device.id)):
        decided = [(operation, await carry_out_late(tx, operation, device.id, actor)) for operation in mine]
    await settle(tx, device, decided)
    conflict.resolve(Resolution.TAKE_MINE, do.note, actor.id, now())
    return conflict


@dataclass(frozen=True)
class DismissSurrenderedWork:
    """The conflict, and a note about the decision."""

    conflict_id: UUID
    """The conflict of kind `WORK_SURRENDERED` that holds the work."""
    note: Annotated[str | None, Limits(length=2000)] = None
    """The reason, which is kept with the conflict; null for none."""


@command(DEVICES_WRITE)
async def dismiss_surrendered_work(tx: Transaction, actor: Actor, do: DismissSurrenderedWork) -> Conflict:
    """Dismiss work of a revoked device; the conflict keeps its content."""
    conflict, device, queue = await _undecided(tx, do.conflict_id)
    decided = [(one, Outcome(str(one.id), "rejected", code="DISMISSED")) for one in _named(conflict, queue)]
    await settle(tx, device, decided)
    await give_up(tx, [id_in(operation.input) for operation, _ in decided])
    conflict.resolve(Resolution.KEEP_THEIRS, do.note, actor.id, now())
    return conflict


async def _undecided(tx: Transaction, id: UUID) -> tuple[Conflict, Device, list[PushedOperation]]:
    """Return the conflict, its device, locked so that decisions take turns, and what still waits."""
    conflict = await tx.find(Conflict, id, "conflictId")
    if conflict.kind is not WORK_SURRENDERED:
        raise Invalid("This conflict does not hold work of a revoked device.", "conflictId")
    (device,) = await tx.all(select(Device).where(Device.id == conflict.device_id))
    if conflict.status is not ConflictStatus.OPEN:
        raise TransitionNotAllowed("This was decided already.", "conflictId")
    return conflict, device, await waiting(tx.session, device)


def _named(conflict: Conflict, queue: Sequence[PushedOperation]) -> list[PushedOperation]:
    ids = {UUID(operation["id"]) for operation in conflict.mine["operations"]}
    return [operation for operation in queue if operation.id in ids]


async def carry_out_late(
    tx: Transaction, pushed: PushedOperation, device_id: UUID, decider: Actor | None = None
) -> Outcome:
    """Carry out a stopped operation as a push does. It may name what its account sees, or what the
    decider sees.
    """
    ready = read_command(COMMANDS_BY_NAME, pushed)
    late = overtaking(tx, device_id, pushed)
    return await carry_out(tx, ready, pushed, device_id, overtaken_in=late, decider=decider)
