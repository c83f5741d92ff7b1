"""Decisions about operations that had no effect: refused, or stopped by an error of ours."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select

from tournee.auth.models import Account, Device
from tournee.auth.organisations import actor_of
from tournee.conflicts.deciding import ResolveConflict, Situation
from tournee.kernel.conflict import Conflict
from tournee.kernel.errors import Blocked
from tournee.kernel.transaction import Transaction
from tournee.sync.conflicts import OPERATION_QUARANTINED, OPERATION_REJECTED
from tournee.sync.devices.surrender import settle
from tournee.sync.devices.surrendered import carry_out_late
from tournee.sync.messages import Outcome, PushedOperation, read_operation
from tournee.sync.models import ParkedOperation
from tournee.sync.push.receipts import complete_receipts
from tournee.sync.waiting.given_up import give_up
from tournee.sync.waiting.inbox import shown_to_make
from tournee.sync.waiting.parking import operations


def against_retrying(situation: Situation) -> list[str]:
    """Return why it cannot be retried: it was too large to keep, or could not be read."""
    if situation.conflict.mine.get("final"):
        return ["It cannot be carried out as it was sent; somebody must do it again."]
    kept = all("input" in operation for operation in situation.conflict.mine["operations"])
    return [] if kept else ["It was too large to keep; somebody must do it again."]


async def retry(tx: Transaction, situation: Situation, _do: ResolveConflict) -> None:
    """Carry it out now, as the device's account, with the device's base and time. If it is refused again,
    the conflict stays open. It may name a record that the account no longer sees, if the decider does.
    """
    conflict = situation.conflict
    queue = await _queue(tx, conflict)
    owners = await tx.all(select(Account).where(Account.id == conflict.actor_id))
    if not owners or not queue:
        raise Blocked("There is nothing left to carry out.", "resolution")
    decider, device = tx.actor, _device(conflict)
    async with tx.acting(actor_of(tx.organisation_id, owners[0].id, owners[0].role, conflict.device_id)):
        decided = [(one, await carry_out_late(tx, one, device.id, decider)) for one in queue]
    if conflict.kind is OPERATION_QUARANTINED:
        await settle(tx, _device(conflict), decided)
    else:
        await complete_receipts(tx, decided)


async def dismiss(tx: Transaction, situation: Situation, _do: ResolveConflict) -> None:
    """Leave it without effect; the conflict keeps what it was. Operations that wait for a record it was
    to create are refused.
    """
    conflict = situation.conflict
    await give_up(tx, [shown_to_make(operation) for operation in conflict.mine["operations"]])
    if conflict.kind is OPERATION_QUARANTINED:
        dismissed = [
            (one, Outcome(str(one.id), "rejected", code="DISMISSED")) for one in await _queue(tx, conflict)
        ]
        await settle(tx, _device(conflict), dismissed)


async def _queue(tx: Transaction, conflict: Conflict) -> list[PushedOperation]:
    """Return the operations: quarantined ones as they wait, refused ones as the conflict holds them."""
    if conflict.kind is OPERATION_REJECTED:
        return [_read(conflict, raw) for raw in conflict.mine["operations"]]
    parked = await tx.session.scalars(
        select(ParkedOperation)
        .where(
            ParkedOperation.device_id == conflict.device_id,
            ParkedOperation.operation_id.in_([UUID(id) for id in conflict.operation_ids]),
        )
        .order_by(ParkedOperation.number)
        .with_for_update(key_share=True)
    )
    return operations(parked)


def _read(conflict: Conflict, raw: dict[str, Any]) -> PushedOperation:
    operation = read_operation(raw, conflict.mine.get("schema", 1))
    unknown = str(operation.id) in conflict.mine.get("baseUnknown", ())
    return operation.unfounded() if unknown else operation


def _device(conflict: Conflict) -> Device:
    """Return as much of the device as receipts need; it may not be enrolled."""
    return Device(
        organisation_id=conflict.organisation_id, id=conflict.device_id, account_id=conflict.actor_id
    )
