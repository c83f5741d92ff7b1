"""Devices whose parked work can go on without their asking: each gets a push with nothing in it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, and_, exists, or_, select

from tournee.auth.models import Account, AccountStatus
from tournee.auth.organisations import actor_of
from tournee.kernel.actor import Actor
from tournee.kernel.command import Kernel
from tournee.kernel.errors import Refused
from tournee.kernel.log import Record
from tournee.sync.batch import Commands
from tournee.sync.models import DeviceState, ParkedOperation
from tournee.sync.push import push


async def revive_for(
    kernel: Kernel, commands: Commands, organisation_id: UUID, made: Collection[UUID], device_id: UUID
) -> None:
    """Let other devices' children go on whose parents one device has just handed in."""
    if made:
        waits = and_(ParkedOperation.waits_for.in_(made), ParkedOperation.device_id != device_id)
        await _revive(kernel, commands, organisation_id, waits, None)


async def revive_waiting(
    kernel: Kernel, commands: Commands, organisation_id: UUID, patience: datetime
) -> None:
    """What waits for a record that is there by now, or has waited since before `patience`."""
    there = exists().where(Record.organisation_id == organisation_id, Record.id == ParkedOperation.waits_for)
    overdue = and_(ParkedOperation.received_at < patience, ParkedOperation.reason.in_(("GAP", "PARENT")))
    await _revive(kernel, commands, organisation_id, or_(there, overdue), patience)


async def _revive(
    kernel: Kernel,
    commands: Commands,
    organisation_id: UUID,
    waits: ColumnElement[bool],
    patience: datetime | None,
) -> None:
    for actor in await _whose(kernel, organisation_id, waits):
        assert actor.device_id is not None
        try:
            await push(kernel, commands, actor, actor.device_id, [], patience=patience, absent=True)
        except Refused as refusal:
            structlog.get_logger().info("parked_work_stays", device=str(actor.device_id), code=refusal.code)
        except Exception:  # noqa: BLE001 - it waits on; whoever made its parent has nothing to do with it
            structlog.get_logger().exception("parked_work_failed", device=str(actor.device_id))


async def _whose(kernel: Kernel, organisation_id: UUID, waits: ColumnElement[bool]) -> list[Actor]:
    """The devices, as the accounts they belong to may act today."""
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
        .where(ParkedOperation.organisation_id == organisation_id, waits)
        .where(Account.status == AccountStatus.ACTIVE, Account.deleted.is_(False))
        .distinct()
    )
    async with kernel.database.reading(organisation_id) as session:
        rows = await session.execute(asked)
        return [actor_of(organisation_id, id, role, device) for device, id, role in rows]
