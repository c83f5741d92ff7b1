"""What a revoked device may still do: surrender its outbox, and confirm that its copy is erased.

Its access and refresh tokens are refused everywhere. Only for these two calls, the last refresh token of its
sign-in still identifies the device. Any other token, or none, gets the answer that a stranger gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, and_, select
from sqlalchemy.orm import aliased

from tournee.auth.models import Account, Device, DeviceStatus, RefreshToken
from tournee.auth.organisations import actor_of
from tournee.auth.refresh_tokens import hashed, organisation_of
from tournee.auth.tokens import Tokens
from tournee.engine.database import Database
from tournee.kernel.actor import Actor
from tournee.kernel.entity import now


@dataclass(frozen=True)
class KnownDevice:
    """A device, identified by its refresh token. `surrender`: it may send its outbox before it erases its
    copy.
    """

    id: UUID
    actor: Actor
    status: DeviceStatus
    surrender: bool

    @property
    def must_wipe(self) -> bool:
        return self.status is not DeviceStatus.ENROLLED


def orders(surrender: bool) -> dict[str, Any]:
    """2. Return the device's orders, which are sent with DEVICE_REVOKED."""
    return {"wipe": True, "surrender": surrender}


def _with_successor(token: str) -> Select[*tuple[Any, ...]]:
    """Select a refresh token, its account and device, and when the token after it was used."""
    successor = aliased(RefreshToken)
    device = and_(Device.organisation_id == RefreshToken.organisation_id, Device.id == RefreshToken.device_id)
    account = and_(
        Account.organisation_id == Device.organisation_id,
        Account.id == Device.account_id,
        Account.id == RefreshToken.account_id,
    )
    following = and_(
        successor.organisation_id == RefreshToken.organisation_id, successor.hash == RefreshToken.successor
    )
    return (
        select(RefreshToken, Account, Device, successor.used_at)
        .join(Device, device)
        .join(Account, account)
        .outerjoin(successor, following)
        .where(RefreshToken.hash == hashed(token))
    )


async def recognise(database: Database, tokens: Tokens, token: str) -> KnownDevice | None:
    """3. Return the device whose last refresh token this is; None for all others.

    A device that lost the answer to its last renewal holds the token before the last, which is accepted too.
    It does not matter that the token has ended, because revoking ends it.
    """
    async with database.reading(organisation_of(token)) as session:
        row = (await session.execute(_with_successor(token))).one_or_none()
    if row is None or not tokens.admits(row[0].organisation_id):
        return None
    given, account, device, successor_used_at = row
    superseded = given.used_at is not None and (given.successor is None or successor_used_at is not None)
    ended = given.revoked_at is not None or given.expires_at <= now()
    if superseded or (ended and device.status is DeviceStatus.ENROLLED):
        return None
    actor = actor_of(account.organisation_id, account.id, account.role, device.id)
    surrender = device.surrender and device.status is DeviceStatus.REVOKED
    return KnownDevice(device.id, actor, device.status, surrender)
