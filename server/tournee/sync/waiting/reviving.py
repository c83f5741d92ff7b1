"""Revive devices whose waiting operations can continue without a request: each gets an empty push."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, and_, exists, or_, select, union_all

from tournee.auth.models import Account, AccountStatus
from tournee.auth.organisations import actor_of
from tournee.auth.tokens import TokenRefused
from tournee.kernel.actor import Actor
from tournee.kernel.command import GoesOn, Kernel
from tournee.kernel.errors import Refused
from tournee.kernel.log import Record
from tournee.sync.models import DeviceState, GivenUpRecord, ParkedOperation, Reason, Receipt
from tournee.sync.push.batch import Commands
from tournee.sync.push.push import Answer, push
from tournee.sync.push.request import PushRequest
from tournee.sync.waiting.given_up import given_up_among


def reviving(commands: Commands) -> GoesOn:
    """Return the callback that the kernel calls after a commit; the kernel itself knows no devices."""

    async def revive(kernel: Kernel, organisation_id: UUID, made: Collection[UUID]) -> None:
        await revive_for(kernel, commands, organisation_id, made)

    return revive


async def revive_after(
    kernel: Kernel, commands: Commands, actor: Actor, device_id: UUID, answer: Answer
) -> None:
    """Continue what may run because of an answered push. If this fails, housekeeping tries again."""
    await revive_for(kernel, commands, actor.organisation_id, answer.made, device_id)
    try:
        await revive_missed(kernel, commands, actor, device_id, answer)
    except Refused as refusal:
        structlog.get_logger().info("parked_work_stays", device=str(device_id), code=refusal.code)
    except Exception:  # noqa: BLE001 - the push itself has been carried out
        structlog.get_logger().exception("parked_work_failed", device=str(device_id))


async def revive_for(
    kernel: Kernel,
    commands: Commands,
    organisation_id: UUID,
    made: Collection[UUID],
    device_id: UUID | None = None,
) -> None:
    """Continue operations whose parents were just created, except those of the device that created them; then
    the operations that wait for these.
    """
    try:
        while made:
            waits: ColumnElement[bool] = ParkedOperation.waits_for.in_(made)
            if device_id is not None:
                waits = and_(waits, ParkedOperation.device_id != device_id)
            made, device_id = await _revive(kernel, commands, organisation_id, waits, None), None
    except Exception:  # noqa: BLE001 - the parent is committed; housekeeping tries again
        structlog.get_logger().exception("parked_work_failed")


async def revive_missed(
    kernel: Kernel, commands: Commands, actor: Actor, device_id: UUID, answer: Answer
) -> None:
    """Continue what this push left waiting if its parent arrived, or its error was resolved, before the push
    committed: whoever did that saw nothing waiting.
    """
    if not answer.waits_for:
        return
    there = select(Record.id).where(
        Record.id.in_(answer.waits_for),
        Record.seq > answer.began_at,
    )
    decided = select(Receipt.operation_id).where(Receipt.operation_id.in_(answer.waits_for))
    async with kernel.database.reading(actor.organisation_id) as session:
        came = await session.scalar(union_all(there, decided).limit(1))
        gone = await given_up_among(session, answer.waits_for)
    if came is not None or gone:
        await push(kernel, commands, actor, PushRequest(device_id, absent=True))


async def revive_waiting(
    kernel: Kernel, commands: Commands, organisation_id: UUID, patience: datetime
) -> None:
    """Continue what waits for a record that exists now or was given up, for a decided operation, or since
    before `patience`; and what hit an error of ours, as its device may never push again.
    """
    there = exists().where(Record.id == ParkedOperation.waits_for)
    gone = exists().where(GivenUpRecord.record_id == ParkedOperation.waits_for)
    decided = exists().where(Receipt.operation_id == ParkedOperation.waits_for)
    impatient = ParkedOperation.reason.in_((Reason.GAP, Reason.PARENT, Reason.FOLLOWS))
    overdue = and_(ParkedOperation.received_at < patience, impatient)
    crashed = ParkedOperation.reason == Reason.CRASHED
    await _revive(kernel, commands, organisation_id, or_(there, gone, decided, overdue, crashed), patience)


async def _revive(
    kernel: Kernel,
    commands: Commands,
    organisation_id: UUID,
    waits: ColumnElement[bool],
    patience: datetime | None,
) -> set[UUID]:
    """Push for each device that has such operations; return the records they created."""
    made: set[UUID] = set()
    for actor in await _whose(kernel, organisation_id, waits):
        assert actor.device_id is not None
        try:
            request = PushRequest(actor.device_id, absent=True, patience=patience)
            answer = await push(kernel, commands, actor, request)
            made |= answer.made
        except (Refused, TokenRefused) as refusal:
            structlog.get_logger().info("parked_work_stays", device=str(actor.device_id), code=refusal.code)
        except Exception:  # noqa: BLE001 - the operation waits on, and the caller is not to blame
            structlog.get_logger().exception("parked_work_failed", device=str(actor.device_id))
    return made


async def _whose(kernel: Kernel, organisation_id: UUID, waits: ColumnElement[bool]) -> list[Actor]:
    """Return the devices as actors, with the permissions their accounts have today."""
    same_device: Any = and_(
        DeviceState.organisation_id == ParkedOperation.organisation_id,
        DeviceState.device_id == ParkedOperation.device_id,
    )
    account: Any = and_(
        Account.organisation_id == DeviceState.organisation_id, Account.id == DeviceState.account_id
    )
    asked = (
        select(DeviceState.device_id, Account.id, Account.role)
        .select_from(ParkedOperation)
        .join(DeviceState, same_device)
        .join(Account, account)
        .where(waits)
        .where(Account.status == AccountStatus.ACTIVE)
        .distinct()
    )
    async with kernel.database.reading(organisation_id) as session:
        rows = await session.execute(asked)
        return [actor_of(organisation_id, id, role, device) for device, id, role in rows]
