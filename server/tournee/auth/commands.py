"""Commands about accounts and devices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, false, func, not_, or_, select, update

from tournee.auth.attempts import Guesses
from tournee.auth.matching import salt_for
from tournee.auth.models import Account, Device, DeviceStatus, RefreshToken
from tournee.auth.passwords import LONGEST, is_password, new_password
from tournee.auth.permissions import ACCOUNT_SELF, ACCOUNTS_WRITE, DEVICES_WRITE
from tournee.auth.rules import against_disabling
from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.entity import now
from tournee.kernel.errors import Blocked, Conflict, Forbidden, Invalid, NotFound, Refused
from tournee.kernel.inputs import UNSET, Limits, Unset
from tournee.kernel.plain import creating, edits, given
from tournee.kernel.registry import BY_TABLE, Plain
from tournee.kernel.rules import is_held_by_another, obeying
from tournee.kernel.transaction import Transaction

GUESSES = Guesses()

# Devices of one account; the second limit also counts revoked and wiped ones, whose records stay.
MOST_DEVICES = 50
MOST_DEVICES_EVER = 1_000

Name = Annotated[str, Limits(length=200)]
Password = Annotated[str, Limits(length=LONGEST)]


@dataclass(frozen=True)
class NewAccount:
    password: Password | None = None
    """For signing in here; null if the person signs in elsewhere or gets one later."""


@creating(Account, ACCOUNTS_WRITE, logged=True)
async def create_account(tx: Transaction, actor: Actor, do: NewAccount) -> Account:
    """Add an account; without a password it cannot sign in yet."""
    values = given(do, "password")
    await tx.find_optional(BY_TABLE["customer"], values.get("customer_id"), "customerId")
    account = await tx.add(Account(**values))
    await _unique_email(tx, account)
    if do.password is not None:
        await _set_password(tx, account, do.password, "password")
    return account


async def _unique_email(tx: Transaction, account: Account) -> None:
    if await is_held_by_another(tx, account, Account.email == account.email):
        raise Conflict("Another account of this organisation has this e-mail.", "email")


async def _set_password(tx: Transaction, account: Account, password: str, field: str) -> None:
    salt = await salt_for(tx.database, account.email)
    account.set_password(await new_password(password, field, salt), now())


update_account = replace(obeying(edits(Account, ACCOUNTS_WRITE), _unique_email), logged=True)


@dataclass(frozen=True)
class SetPassword:
    account_id: UUID
    """The account that gets the password."""
    password: Password
    """Replaces the old one; all sessions of the account end."""


@command(ACCOUNTS_WRITE, logged=True)
async def set_password(tx: Transaction, actor: Actor, do: SetPassword) -> Account:
    """Set an account's password; everybody signed in to it must sign in again."""
    account = await tx.find(Account, do.account_id, "accountId")
    await _set_password(tx, account, do.password, "password")
    await _end_sessions(tx, RefreshToken.account_id == account.id)
    return account


@dataclass(frozen=True)
class ChangePassword:
    current_password: Password
    """Proves that the caller is the account's owner."""
    new_password: Password
    """Replaces it; all other sessions end."""


@command(ACCOUNT_SELF, logged=True)
async def change_password(tx: Transaction, actor: Actor, do: ChangePassword) -> Account:
    """Change your own password; every other session ends and must sign in again."""
    guess = await GUESSES.begin(tx.database, actor.key)
    account = await _own_account(tx)
    if not await is_password(do.current_password, account.password_hash):
        await guess.failed()
        structlog.get_logger().info("password_not_changed", account=str(actor.id))
        raise Invalid("This is not your present password.", "currentPassword")
    guess.succeeded()
    await _set_password(tx, account, do.new_password, "newPassword")
    await _end_sessions(tx, RefreshToken.account_id == account.id, not_(_here(actor)))
    return account


@dataclass(frozen=True)
class DisableAccount:
    account_id: UUID
    """The account that may no longer sign in."""


@command(ACCOUNTS_WRITE, logged=True)
async def disable_account(tx: Transaction, actor: Actor, do: DisableAccount) -> Account:
    """Disable an account: it cannot sign in or renew its session, and holds no scopes."""
    if against := against_disabling(actor, do.account_id):
        raise Blocked(" ".join(against), "accountId")
    account = await tx.find(Account, do.account_id, "accountId")
    account.disable()
    await _end_sessions(tx, RefreshToken.account_id == account.id)
    return account


@dataclass(frozen=True)
class EnableAccount:
    account_id: UUID
    """The account that may sign in again."""


@command(ACCOUNTS_WRITE, logged=True)
async def enable_account(tx: Transaction, actor: Actor, do: EnableAccount) -> Account:
    """Let a disabled account sign in again."""
    account = await tx.find(Account, do.account_id, "accountId")
    account.enable()
    return account


@dataclass(frozen=True)
class EnrolDevice:
    id: UUID
    name: Name | Unset = UNSET
    platform: Annotated[str, Limits(length=100)] | Unset = UNSET
    app_version: Annotated[str, Limits(length=100)] | Unset = UNSET


@command(ACCOUNT_SELF, plain=Plain.CREATE)
async def enrol_device(tx: Transaction, actor: Actor, do: EnrolDevice) -> Device:
    """Enrol this device; signing in with a device does the same."""
    named = {key: value for key, value in vars(do).items() if value is not UNSET and key != "id"}
    device = next(iter(await tx.all(select(Device).where(Device.id == do.id))), None)
    if device is None:
        await _require_room(tx, actor)
        values = {"name": "Unnamed device", **named}
        return await tx.add(Device(id=do.id, account_id=actor.id, enrolled_at=now(), **values))
    if device.account_id != actor.id:
        raise Forbidden("This device belongs to another account.", "id")
    if device.status is not DeviceStatus.ENROLLED:
        raise Blocked("This device was revoked.", "id")
    for key, value in named.items():
        setattr(device, key, value)
    return device


class DevicesLimit(Refused):
    """This account has too many devices; ask a manager to revoke those that are no longer used."""

    code = "DEVICES_LIMIT"


async def _require_room(tx: Transaction, actor: Actor) -> None:
    """Raise DevicesLimit unless the account may have one more device."""
    # Lock the account, so that devices that enrol at the same time count each other.
    await tx.session.execute(select(Account.id).where(Account.id == actor.id).with_for_update(key_share=True))
    enrolled = func.count().filter(Device.status == DeviceStatus.ENROLLED)
    of_account = Device.account_id == actor.id
    ever, now_enrolled = (
        await tx.session.execute(select(func.count(), enrolled).select_from(Device).where(of_account))
    ).one()
    if now_enrolled >= MOST_DEVICES or ever >= MOST_DEVICES_EVER:
        raise DevicesLimit


@dataclass(frozen=True)
class RevokeDevice:
    device_id: UUID
    """The device that was lost or handed back."""
    surrender: bool = False
    """Whether it may first hand in work that the server does not have."""


@command(DEVICES_WRITE, logged=True)
async def revoke_device(tx: Transaction, actor: Actor, do: RevokeDevice) -> Device:
    """Revoke a device: it must erase its copy; with `surrender` it may first send its outbox."""
    device = await tx.find(Device, do.device_id, "deviceId")
    # 1. From here on, its tokens are refused everywhere.
    device.revoke(now(), do.surrender)
    await _end_sessions(tx, RefreshToken.device_id == device.id)
    return device


@dataclass(frozen=True)
class ConfirmWipe:
    device_id: UUID
    """The revoked device that erased its copy."""


@command(ACCOUNT_SELF, logged=True)
async def confirm_wipe(tx: Transaction, actor: Actor, do: ConfirmWipe) -> Device:
    """Confirm that your device has erased its copy."""
    mine = select(Device).where(Device.id == do.device_id, Device.account_id == actor.id)
    device = next(iter(await tx.all(mine)), None)
    if device is None:
        raise NotFound("There is no such Device.", "deviceId")
    # 6. Only the device itself can know that its copy is erased.
    device.confirm_wipe(now())
    await _end_sessions(tx, RefreshToken.device_id == device.id)
    return device


@dataclass(frozen=True)
class SignOut:
    everywhere: bool = False
    """End all sessions of the account, not only this one."""


@command(ACCOUNT_SELF, logged=True)
async def sign_out(tx: Transaction, actor: Actor, do: SignOut) -> Account:
    """End your session on this device, or everywhere; its access tokens stop working within seconds."""
    account = await _own_account(tx)
    here = () if do.everywhere else (_here(actor),)
    await _end_sessions(tx, RefreshToken.account_id == account.id, *here)
    return account


async def _own_account(tx: Transaction) -> Account:
    found = await tx.all(select(Account).where(Account.id == tx.actor.id))
    if not found:
        raise NotFound("There is no such Account.")
    return found[0]


def _here(actor: Actor) -> ColumnElement[bool]:
    """Return a condition for the actor's own session. Without a device, only the session's id tells it apart
    from a thief's.
    """
    return or_(
        false() if actor.session_id is None else RefreshToken.family_id == actor.session_id,
        false() if actor.device_id is None else RefreshToken.device_id.is_not_distinct_from(actor.device_id),
    )


async def _end_sessions(tx: Transaction, *which: ColumnElement[bool]) -> None:
    tx.admits = True
    await tx.session.execute(
        update(RefreshToken)
        .where(RefreshToken.revoked_at.is_(None), *which)
        .values(revoked_at=now())
        .execution_options(synchronize_session=False)
    )
