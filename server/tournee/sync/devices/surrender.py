"""Surrender: a revoked device sends its outbox. The numbers are those of schema/sync.md, "Revoking a device".

Nothing is carried out: it waits in quarantine until somebody with the right role decides. Operations of this
device that were waiting already are included, since the device never comes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from uuid import UUID

import orjson
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.auth.models import Account, Device, DeviceStatus
from tournee.auth.organisations import actor_of
from tournee.auth.revoked import KnownDevice
from tournee.auth.roles import Role
from tournee.kernel.command import Kernel
from tournee.kernel.conflict import Conflict
from tournee.kernel.entity import now
from tournee.kernel.errors import Invalid, OperationReused
from tournee.kernel.head import read_head
from tournee.kernel.transaction import Operation, Transaction
from tournee.sync.conflicts import WORK_SURRENDERED
from tournee.sync.devices.history import history_of
from tournee.sync.messages import Outcome, PushedOperation, read_operation, rejected
from tournee.sync.models import ParkedOperation, Reason, Receipt
from tournee.sync.push.incoming import read_slots, units
from tournee.sync.push.receipts import write_receipts
from tournee.sync.push.request import PushRequest
from tournee.sync.waiting.inbox import Sender, named, show, shown_unit
from tournee.sync.waiting.parking import operations as operations_of

_COMMAND = "surrenderWork"


async def surrender(kernel: Kernel, device: KnownDevice, request: PushRequest) -> list[Outcome]:
    """4. Keep what a revoked device sends; each outcome only says that it was received."""
    raw, schema = request.operations, request.schema
    slots = read_slots(raw, schema)
    fresh = {slot.id: slot for slot in slots if isinstance(slot, PushedOperation)}

    async def work(tx: Transaction) -> list[Outcome]:
        async with tx.running(Operation(_COMMAND, now(), device_id=device.id)):
            (row,) = await tx.all(select(Device).where(Device.id == device.id))
            if row.status is not DeviceStatus.REVOKED or not row.surrender:
                raise Invalid("This device has nothing to hand in.", "device")
            known = await _known(tx, fresh.values())
            head = await read_head(tx.session)
            history = await history_of(tx.session, request, head.epoch, head.seq)
            kept = [
                one.founded(head.seq, history.lost_bases) for one in fresh.values() if one.id not in known
            ]
            await _quarantine(tx, row, kept)
            row.surrendered_at = now()
            contents = {id: operation.payload_hash for id, operation in fresh.items()} | known
            outcomes = [
                slot if isinstance(slot, Outcome) else _acknowledged(slot, contents) for slot in slots
            ]
            # Once the device is wiped, an unreadable operation exists nowhere else.
            refused = [said for said in zip(raw, outcomes, strict=True) if said[1].status == "rejected"]
            await show(tx, Sender(row.id, row.account_id, Role.MANAGER), refused, schema)
        return outcomes

    return await kernel.transact(device.actor, work)


def _acknowledged(operation: PushedOperation, known: Mapping[UUID, str]) -> Outcome:
    if known[operation.id] != operation.payload_hash:
        return rejected(str(operation.id), OperationReused())
    return Outcome(str(operation.id), "surrendered")


async def _known(tx: Transaction, operations: Iterable[PushedOperation]) -> dict[UUID, str]:
    """Return the content, by id, of operations that were decided or wait already, here or from another
    device.
    """
    ids = [operation.id for operation in operations]
    receipts = await tx.session.execute(
        select(Receipt.operation_id, Receipt.payload_hash).where(Receipt.operation_id.in_(ids))
    )
    waiting = await tx.session.execute(
        select(ParkedOperation.operation_id, ParkedOperation.operation).where(
            ParkedOperation.operation_id.in_(ids)
        )
    )
    known: dict[UUID, str] = dict(receipts.all())
    return known | {id: read_operation(orjson.loads(text)).payload_hash for id, text in waiting}


async def _quarantine(tx: Transaction, device: Device, operations: Sequence[PushedOperation]) -> None:
    """Quarantine what the device sends now, and what of it was waiting."""
    rows = [
        {
            "operation_id": operation.id,
            "device_id": device.id,
            "number": operation.number,
            "reason": Reason.SURRENDERED,
            "attempts": 0,
            "base_unknown": operation.base_unknown,
            "schema": operation.schema,
            "operation": orjson.dumps(operation.raw).decode(),
            "received_at": now(),
        }
        for operation in operations
    ]
    await tx.statements.insert_many(ParkedOperation.__table__, rows)
    stranded = await tx.session.scalars(
        select(ParkedOperation).where(
            ParkedOperation.device_id == device.id, ParkedOperation.reason != Reason.SURRENDERED
        )
    )
    left = operations_of(stranded)
    await tx.session.execute(
        update(ParkedOperation)
        .where(ParkedOperation.device_id == device.id, ParkedOperation.reason != Reason.SURRENDERED)
        .values(reason=Reason.SURRENDERED)
        .execution_options(synchronize_session=False)
    )
    for unit in units(sorted([*operations, *left], key=lambda operation: operation.number)):
        await tx.add(_conflict(device, unit))


def _conflict(device: Device, unit: Sequence[PushedOperation]) -> Conflict:
    """5. Make one conflict for each unit, and for each operation without a unit."""
    first = unit[0]
    return Conflict(
        kind=WORK_SURRENDERED,
        role=WORK_SURRENDERED.decider,
        entity=Device.__name__,
        record_id=device.id,
        command=named(first.command),
        operation_id=first.id,
        actor_id=device.account_id,
        device_id=device.id,
        occurred_at=first.occurred_at,
        base={},
        mine=shown_unit(unit),
        theirs={},
    )


async def waiting(session: AsyncSession, device: Device) -> list[PushedOperation]:
    """Return this device's undecided operations, in the order in which it did them."""
    found = await session.scalars(
        select(ParkedOperation)
        .where(ParkedOperation.device_id == device.id, ParkedOperation.reason == Reason.SURRENDERED)
        .order_by(ParkedOperation.number)
        .with_for_update(key_share=True)
    )
    return operations_of(found)


async def settle(tx: Transaction, device: Device, decided: Sequence[tuple[PushedOperation, Outcome]]) -> None:
    """Take operations out of quarantine. Their receipts are written at the commit, and what waits for
    them continues.
    """
    ids = [operation.id for operation, _ in decided]
    tx.notes.awaited.update(ids)
    await tx.session.execute(
        delete(ParkedOperation).where(
            ParkedOperation.device_id == device.id, ParkedOperation.operation_id.in_(ids)
        )
    )

    tx.last_writes.append(partial(write_receipts, tx, decided, device.id, device.account_id))


async def rescue_stranded(kernel: Kernel, organisation_id: UUID) -> int:
    """Quarantine what waits from devices that were revoked since; return how many devices."""
    async with kernel.database.reading(organisation_id) as session:
        found = await session.execute(
            select(Device.id, Account.id, Account.role)
            .join(
                Account,
                (Account.organisation_id == Device.organisation_id) & (Account.id == Device.account_id),
            )
            .where(
                Device.status != DeviceStatus.ENROLLED,
                Device.id.in_(
                    select(ParkedOperation.device_id).where(
                        ParkedOperation.reason != Reason.SURRENDERED,
                    )
                ),
            )
        )
        stranded = found.all()
    for device_id, account_id, role in stranded:
        actor = actor_of(organisation_id, account_id, role, device_id)

        async def work(tx: Transaction, id: UUID = device_id) -> None:
            async with tx.running(Operation(_COMMAND, now(), device_id=id)):
                (row,) = await tx.all(select(Device).where(Device.id == id))
                await _quarantine(tx, row, [])

        await kernel.transact(actor, work)
    return len(stranded)
