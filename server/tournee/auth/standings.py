"""Reads whether accounts, devices and sessions may still act, for many actors in one transaction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select

from tournee.auth.models import Account, AccountStatus, Device, DeviceStatus, RefreshToken
from tournee.auth.revoked import orders
from tournee.auth.roles import Role
from tournee.auth.tokens import TokenRefused
from tournee.engine.database import Database
from tournee.kernel.actor import Actor
from tournee.kernel.log import Head

# The code, message and details of a TokenRefused.
Refusal = tuple[str, str, Mapping[str, Any]]

# Actors in one statement at most.
_AT_ONCE = 500


@dataclass
class Standing:
    """Whether an account, its device and its session may act, with the time and the head of that reading."""

    refusal: Refusal | None
    asked_at: float
    epoch: UUID | None
    seq: int

    def require(self) -> None:
        """Raise TokenRefused if the actor may not act."""
        _raise(self.refusal)


Waiting = list[tuple[Actor, asyncio.Future[Standing]]]


class Standings:
    """Reads standings in batches: a thousand clients that return after a restart share one connection."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[UUID, Waiting] = {}
        self._asking: asyncio.Task[None] | None = None

    def now(self, actor: Actor) -> asyncio.Future[Standing]:
        """Return the actor's standing, read after this call."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Standing] = loop.create_future()
        self._waiting.setdefault(actor.organisation_id, []).append((actor, answer))
        if self._asking is None or self._asking.done():
            self._asking = loop.create_task(self._ask())
        return answer

    async def _ask(self) -> None:
        while self._waiting:
            # Take organisations in turn, so that a crowd of one does not hold up the others.
            organisation_id = next(iter(self._waiting))
            waiting = self._waiting.pop(organisation_id)
            if len(waiting) > _AT_ONCE:
                self._waiting[organisation_id] = waiting[_AT_ONCE:]
            await self._answer(organisation_id, waiting[:_AT_ONCE])

    async def _answer(self, organisation_id: UUID, waiting: Waiting) -> None:
        try:
            standings = await self._read(organisation_id, [actor for actor, _ in waiting])
        except Exception as error:  # noqa: BLE001 - passed on to the callers
            for _, answer in waiting:
                if not answer.done():
                    answer.set_exception(error)
        else:
            for (_, answer), standing in zip(waiting, standings, strict=True):
                if not answer.done():
                    answer.set_result(standing)

    async def _read(self, organisation_id: UUID, actors: Sequence[Actor]) -> list[Standing]:
        asking = {actor.id for actor in actors}
        accounts = select(Account.id, Account.status, Account.role).where(Account.id.in_(asking))
        named = {actor.device_id for actor in actors if actor.device_id is not None}
        devices = select(Device.id, Device.status, Device.surrender).where(Device.id.in_(named))
        sessions = {actor.session_id for actor in actors if actor.session_id is not None}
        ended = select(RefreshToken.family_id).where(
            RefreshToken.family_id.in_(sessions),
            # A family has one unused token; when that is revoked, the family has ended.
            RefreshToken.used_at.is_(None),
            RefreshToken.revoked_at.is_not(None),
        )
        heads = select(Head.epoch, Head.seq)
        asked_at = time.monotonic()
        async with self._database.reading(organisation_id) as session:
            head = (await session.execute(heads)).one_or_none()
            account = {row[0]: row for row in await session.execute(accounts)}
            device: dict[UUID | None, Any] = {row[0]: row for row in await session.execute(devices)}
            over = set(await session.scalars(ended)) if sessions else set()
        epoch, seq = head or (None, 0)
        return [
            Standing(
                _refusal(
                    actor,
                    account.get(actor.id),
                    device.get(actor.device_id),
                    has_ended=actor.session_id in over,
                ),
                asked_at,
                epoch,
                seq,
            )
            for actor in actors
        ]


def require_account(actor: Actor, status: AccountStatus | None, role: Role | None) -> None:
    """Raise TokenRefused if the account, as just read, is disabled or has another role now.

    None means that the actor has no account: accounts are never removed, so it never signed in.
    """
    if status is not None:
        _raise(_of_account(actor, status, role))


def _raise(refusal: Refusal | None) -> None:
    if refusal is not None:
        code, message, details = refusal
        raise TokenRefused(code, message, **details)


def _of_account(actor: Actor, status: AccountStatus, role: Role | None) -> Refusal | None:
    if status is not AccountStatus.ACTIVE:
        return ("UNAUTHENTICATED", "This account is disabled.", {})
    if role != actor.role:
        return ("TOKEN_EXPIRED", "The role of this account has changed; renew the token.", {})
    return None


def _refusal(actor: Actor, account: Any, device: Any, *, has_ended: bool) -> Refusal | None:
    """Return why the actor may not act. The device comes first: a revoked one must erase its copy, even if
    its account is disabled.
    """
    if account is not None and actor.device_id is not None:
        status = None if device is None else device[1]
        if status is not DeviceStatus.ENROLLED:
            surrender = status is DeviceStatus.REVOKED and device[2]
            return ("DEVICE_REVOKED", "This device was revoked; erase its copy.", orders(surrender))
    if account is None:
        return ("UNAUTHENTICATED", "There is no such account.", {})
    if account[1] is AccountStatus.ACTIVE and has_ended:
        return ("UNAUTHENTICATED", "This session has ended; sign in again.", {})
    return _of_account(actor, account[1], account[2])
