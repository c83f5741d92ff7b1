"""From a token to an actor, at every request."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import and_, select

from tournee.auth.models import Account, AccountStatus, Device, DeviceStatus
from tournee.auth.revoked import orders
from tournee.auth.tokens import TokenRefused, Tokens, Verified
from tournee.kernel.actor import Actor
from tournee.kernel.database import Database, now
from tournee.kernel.log import Head
from tournee.kernel.tail import Recent

_MOST = 10_000

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")

# What a TokenRefused is made of: its code, its message, and what goes with them.
_Refusal = tuple[str, str, Mapping[str, Any]]

# Account, device, and the role that the token says.
_Key = tuple[UUID, UUID | None, str]


@dataclass(frozen=True)
class _Standing:
    """What the database said of an account and its device, and until when that is believed."""

    refusal: _Refusal | None
    until: float
    epoch: UUID | None
    seq: int


class Authenticator:
    """Tokens to actors; remembers what it verified, and for a few seconds how the account stands.

    A token outlives the disabling of its account, a change of its role and the revoking of its
    device by up to its fifteen minutes. For a stolen device that is long, and asking the database
    at each request would cost a fast read a good part of its time: so each process asks once every
    `believed_seconds` for each account that is active.
    """

    def __init__(self, database: Database, tokens: Tokens, believed_seconds: float = 5.0) -> None:
        self.database = database
        self.tokens = tokens
        self.believed_seconds = believed_seconds
        self._verified: dict[str, Verified] = {}
        self._standings: dict[_Key, _Standing] = {}

    async def authenticate(self, token: str) -> Actor:
        """The actor the token speaks for; TokenRefused where it lets nobody in."""
        return (await self.verify(token)).actor

    async def verify(self, token: str) -> Verified:
        """The same, and until when the token is good."""
        verified = self._verify(token)
        actor = verified.actor
        standing = self._standings.get(_key(actor))
        if standing is None or standing.until < time.monotonic():
            standing = await self._ask(actor)
        _raise(standing)
        return verified

    async def require(self, actor: Actor, recent: Recent) -> None:
        """Raise TokenRefused unless account and device still stand as of this head.

        They change by commands only, which move the head: what was found at one seq holds until
        the account or the device is among what changed.
        """
        standing = self._standings.get(_key(actor))
        if (
            standing is None
            or standing.epoch != recent.head.epoch
            or standing.seq > recent.head.seq
            or recent.changed(actor.id, standing.seq)
            or recent.changed(actor.device_id, standing.seq)
        ):
            standing = await self._ask(actor)
        _raise(standing)

    def _verify(self, token: str) -> Verified:
        verified = self._verified.get(token)
        if verified is None or verified.expires <= now():
            self._verified.pop(token, None)
            verified = self.tokens.verify(token)
            _remember(self._verified, token, verified)
        return verified

    async def _ask(self, actor: Actor) -> _Standing:
        same_device = and_(Device.organisation_id == Account.organisation_id, Device.id == actor.device_id)
        async with self.database.reading(actor.organisation_id) as session:
            found = await session.execute(
                select(Account.status, Account.role, Device.status, Device.surrender)
                .outerjoin(Device, same_device)
                .where(
                    Account.organisation_id == actor.organisation_id,
                    Account.id == actor.id,
                    Account.deleted.is_(False),
                )
            )
            row = found.one_or_none()
            question = select(Head.epoch, Head.seq).where(Head.organisation_id == actor.organisation_id)
            head = (await session.execute(question)).one_or_none()
        epoch, seq = head or (None, 0)
        standing = _Standing(_refusal(actor, row), time.monotonic() + self.believed_seconds, epoch, seq)
        _remember(self._standings, _key(actor), standing)
        return standing


def _raise(standing: _Standing) -> None:
    if standing.refusal is not None:
        code, message, details = standing.refusal
        raise TokenRefused(code, message, **details)


def _key(actor: Actor) -> _Key:
    return actor.id, actor.device_id, actor.role


def _refusal(actor: Actor, row: Any) -> _Refusal | None:
    """The device first: one that was revoked must erase its copy, whatever became of its account."""
    if row is not None and actor.device_id is not None and row[2] is not DeviceStatus.ENROLLED:
        surrender = row[2] is DeviceStatus.REVOKED and row[3]
        return ("DEVICE_REVOKED", "This device was revoked; erase its copy.", orders(surrender))
    if row is None or row[0] is not AccountStatus.ACTIVE:
        return ("UNAUTHENTICATED", "This account may not come in.", {})
    if row[1] != actor.role:
        return ("TOKEN_EXPIRED", "The role of this account has changed; renew the token.", {})
    return None


def _remember(known: dict[KeyT, ValueT], key: KeyT, value: ValueT) -> None:
    """Keep it; whatever has been there longest makes room."""
    if len(known) >= _MOST:
        del known[next(iter(known))]
    known[key] = value
