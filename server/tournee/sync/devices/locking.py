"""The device of a push: whether it belongs to this account and is still welcome, and whose turn it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import and_, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.auth.commands import MOST_DEVICES_EVER, DevicesLimit
from tournee.auth.models import Account, Device, DeviceStatus
from tournee.auth.revoked import orders
from tournee.auth.standings import require_account
from tournee.engine.statements import OrganisationSession
from tournee.kernel.actor import Actor
from tournee.kernel.entity import now
from tournee.kernel.errors import Refused
from tournee.kernel.log import Head
from tournee.kernel.outages import OrganisationFrozen
from tournee.sync.models import DeviceState

# The most used numbers that are kept beyond the next one; further gaps close only when their turn comes.
_MOST_USED = 2_000


class DeviceRevoked(Refused):
    """This device was revoked; hand in what is queued where allowed, then erase the local copy."""

    code = "DEVICE_REVOKED"

    def __init__(self, surrender: bool = False) -> None:
        super().__init__()
        self.details = orders(surrender)


class DeviceMismatch(Refused):
    """This device belongs to another account, or the token to another device."""

    code = "DEVICE_MISMATCH"


async def check_device(session: AsyncSession, actor: Actor, device_id: UUID | None) -> None:
    """Raise DeviceRevoked or DeviceMismatch if the device was revoked or belongs to another account."""
    if device_id is None:
        return
    found = await session.execute(
        select(Device.account_id, Device.status, Device.surrender).where(Device.id == device_id)
    )
    _require(actor, device_id, *(found.one_or_none() or _NOT_ENROLLED))


# A device that only pushes needs no enrolment.
_NOT_ENROLLED = (None, None, None)


def _require(
    actor: Actor, device_id: UUID, owner: UUID | None, status: DeviceStatus | None, surrender: bool | None
) -> None:
    if actor.device_id is not None and actor.device_id != device_id:
        raise DeviceMismatch
    if owner is None:
        return
    if owner != actor.id:
        raise DeviceMismatch
    if status is not DeviceStatus.ENROLLED:
        raise DeviceRevoked(bool(surrender) and status is DeviceStatus.REVOKED)


@dataclass
class LockedDevice:
    """A device during one of its pushes, and the order of its operations' numbers.

    `next_number` is the number whose turn it is, None while it is unknown. `last_number` is the highest that
    had its turn, in any epoch. Nothing will come under the numbers in `used`. `head` is where the log of this
    `epoch` stood when the push began. `absent`: the device did not ask; only its waiting operations continue.
    """

    organisation_id: UUID
    device_id: UUID
    next_number: int | None
    last_number: int
    head: int
    epoch: UUID
    used: set[int]
    absent: bool = False

    def is_used(self, number: int) -> bool:
        """Return whether nothing will come under this number any more."""
        return number in self.used or number < (self.next_number or 0)

    def is_beyond(self, number: int) -> bool:
        """Return whether an earlier operation has not arrived."""
        return self.next_number is not None and number > self.next_number

    def use(self, numbers: Iterable[int]) -> None:
        """Mark these numbers as used: nothing waits for them any more."""
        self.used.update(numbers)
        self.pass_used()

    def pass_used(self) -> None:
        while self.next_number in self.used:
            self.next_number += 1

    def go_on_after(self, number: int) -> None:
        """Give the next turn to what comes after this number."""
        self.next_number = max(self.next_number or 0, number + 1)
        self.pass_used()


async def lock_device(session: OrganisationSession, actor: Actor, device_id: UUID) -> LockedDevice:
    """2. Lock and return the device's own row, so that two pushes of one device take turns.

    Its account is read with it: an account that was disabled a moment ago writes nothing.
    """
    of = {"of_device": device_id, "of_account": actor.id}
    row: Any = (await session.execute(_LOCKED, of)).one_or_none()
    if row is None:
        await check_device(session, actor, device_id)
        await _require_room(session, actor)
        first = {"organisation_id": actor.organisation_id, "device_id": device_id, "account_id": actor.id}
        new = session.statements.insert(DeviceState.__table__).on_conflict_do_nothing()
        await session.execute(new, {**first, "last_number": 0, "last_seen_at": now(), "pushes": 0})
        row = (await session.execute(_LOCKED, of)).one()
    account_id, next_number, last_number, used, seq, epoch, frozen_at, *row = row
    if frozen_at is not None:
        raise OrganisationFrozen
    owner, status, surrender, *account = row
    _require(actor, device_id, owner, status, surrender)
    require_account(actor, *account)
    if account_id != actor.id:
        raise DeviceMismatch
    numbers = set(orjson.loads(used)) if used else set[int]()
    return LockedDevice(actor.organisation_id, device_id, next_number, last_number, seq, epoch, numbers)


async def _require_room(session: AsyncSession, actor: Actor) -> None:
    """Raise DevicesLimit if the account has pushed from too many devices: anybody can invent another."""
    of_account = select(func.count()).where(DeviceState.account_id == actor.id)
    if (await session.scalar(of_account) or 0) >= MOST_DEVICES_EVER:
        raise DevicesLimit


_OWN = DeviceState.device_id == bindparam("of_device")
_ENROLLED = and_(Device.organisation_id == DeviceState.organisation_id, Device.id == DeviceState.device_id)
_PUSHING = and_(Account.organisation_id == DeviceState.organisation_id, Account.id == bindparam("of_account"))
_LOCKED = (
    select(
        *(DeviceState.account_id, DeviceState.next_number),
        *(DeviceState.last_number, DeviceState.used_numbers),
        *(Head.seq, Head.epoch, Head.frozen_at),
        *(Device.account_id, Device.status, Device.surrender),
        *(Account.status, Account.role),
    )
    .join(Head, Head.organisation_id == DeviceState.organisation_id)
    .outerjoin(Device, _ENROLLED)
    .outerjoin(Account, _PUSHING)
    .where(_OWN)
    .with_for_update(of=DeviceState, key_share=True)
)


async def release_device(session: AsyncSession, device: LockedDevice, app: str | None) -> None:
    """Write how far the push brought the device, in the same transaction."""
    ahead = sorted(number for number in device.used if number > (device.next_number or 0))[:_MOST_USED]
    values: dict[str, Any] = {
        "next_number": device.next_number,
        "last_number": device.last_number,
        "used_numbers": orjson.dumps(ahead).decode() if ahead else None,
    }
    if not device.absent:
        values |= {"app": app, "last_seen_at": now(), "pushes": DeviceState.pushes + 1}
    carried_on = update(DeviceState).where(DeviceState.device_id == device.device_id)
    # Pending rows are not to be flushed yet.
    with session.no_autoflush:
        await session.execute(carried_on.values(values), execution_options={"synchronize_session": False})
