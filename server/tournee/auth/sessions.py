"""Sessions: sign in and stay signed in.

Refresh tokens rotate: each use replaces the token by its successor. All tokens of one sign-in are a family. A
token that comes back after its successor was used means that two parties hold the family, so the whole family
ends.

There is one exception. As long as the successor was not used, its predecessor may be used again and gets
another successor instead. A device on a bad network may lose the answer that brought the successor. It then
holds only the old token, perhaps with days of unsent work, and must not be locked out. A thief gains little:
as soon as either party uses the replaced successor, the family ends all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.auth.commands import ConfirmWipe, DevicesLimit, EnrolDevice, confirm_wipe, enrol_device
from tournee.auth.matching import match
from tournee.auth.models import Account, AccountStatus, Device, DeviceStatus, RefreshToken
from tournee.auth.organisations import actor_of
from tournee.auth.refresh_tokens import hashed, new_token, organisation_of
from tournee.auth.revoked import orders, recognise
from tournee.auth.tokens import Tokens
from tournee.engine.freezing import require_open
from tournee.engine.publishing import ADMISSIONS
from tournee.kernel.actor import Actor
from tournee.kernel.command import Kernel
from tournee.kernel.entity import new_id, now
from tournee.kernel.errors import Blocked, Refused
from tournee.kernel.transaction import Operation, Transaction

# How long a used token is remembered, to recognise it when it comes back.
_REMEMBERED = timedelta(days=30)


class GrantRefused(Exception):
    """No token is granted; `code` is set if a client must do more than ask for the password.

    `proved`: the password was right, so this was no guess.
    """

    error = "invalid_grant"
    proved = False

    def __init__(self, description: str, code: str | None = None, **details: Any) -> None:
        self.description = description
        self.code = code
        self.details = details
        super().__init__(description)


class _FamilyEnded(GrantRefused):
    """A used token came back: every token of its sign-in is void."""


class OrganisationNeeded(GrantRefused):
    """The password fits accounts of several organisations: a required parameter is missing."""

    error = "invalid_request"


_WRONG = "The e-mail or the password is wrong."
_WHICH = "Several organisations have this account: send `organisation` with the id of one of them."
_UNUSABLE = "This refresh token cannot be used; sign in again."


@dataclass(frozen=True)
class Grant:
    """The tokens that a client gets, and the account they are for. `proved`: the password fits every
    account with this e-mail, so the attempt does not count as a guess.
    """

    actor: Actor
    access_token: str
    refresh_token: str
    proved: bool = True


class Sessions:
    """Grants tokens for a password or a refresh token."""

    def __init__(self, kernel: Kernel, tokens: Tokens) -> None:
        self.kernel = kernel
        self.tokens = tokens

    async def sign_in(
        self, email: str, password: str, device: EnrolDevice | None, organisation_id: UUID | None = None
    ) -> Grant:
        """Sign in by password; the named device is enrolled. Raises GrantRefused."""
        await self.tokens.ring.ready()
        found = await match(self.kernel.database, self.tokens, email, password, organisation_id)
        if not found.accounts:
            raise GrantRefused(_WRONG)
        try:
            if len(found.accounts) > 1:
                raise OrganisationNeeded(_WHICH, "ORGANISATION_NEEDED", organisations=found.organisations())
            ((account, _),) = found.accounts
            return await self._admit(account, device, proved=found.proved)
        except GrantRefused as refusal:
            refusal.proved = found.proved
            raise

    async def _admit(self, known: Account, device: EnrolDevice | None, *, proved: bool) -> Grant:
        family = new_id()
        actor = actor_of(known.organisation_id, known.id, known.role, device.id if device else None, family)
        if device is None:
            async with self.kernel.database.writing(actor.organisation_id) as session:
                refresh = await self._begin(session, known, actor)
                await session.commit()
        else:
            refresh = await self._enrol(device, known, actor)
        return Grant(actor, self.tokens.issue(actor), refresh, proved)

    async def _begin(self, session: AsyncSession, known: Account, actor: Actor) -> str:
        """Store the first refresh token of a session, unless the account has changed since it was read.

        Comparing a password takes a while. A new password, or disabling the account, ends all sessions, and
        must not miss this one.
        """
        unchanged = await session.scalar(
            select(Account.id)
            .where(
                Account.id == known.id,
                Account.password_hash == known.password_hash,
                Account.status == AccountStatus.ACTIVE,
            )
            .with_for_update(key_share=True)
        )
        if unchanged is None:
            raise GrantRefused(_WRONG)
        return await self._add(session, actor)

    async def _enrol(self, device: EnrolDevice, known: Account, actor: Actor) -> str:
        given: list[str] = []

        async def work(tx: Transaction) -> Device:
            given[:] = [await self._begin(tx.session, known, actor)]
            operation = Operation(enrol_device.name, now(), device_id=device.id)
            return await enrol_device.run(tx, device, operation)

        try:
            await self.kernel.transact(actor, work)
        except Blocked as refusal:
            raise await self._farewell(actor, refusal) from None
        except DevicesLimit as refusal:
            raise GrantRefused(refusal.message, refusal.code) from None
        except Refused as refusal:
            raise GrantRefused(refusal.message, "DEVICE_MISMATCH") from None
        return given[0]

    async def _farewell(self, actor: Actor, refusal: Blocked) -> GrantRefused:
        """Return the refusal for a revoked device that signs in, with a token to surrender and confirm."""
        async with self.kernel.database.writing(actor.organisation_id) as session:
            token = await self._add(session, actor)
            await session.commit()
        device = await recognise(self.kernel.database, self.tokens, token)
        surrender = device is not None and device.surrender
        return GrantRefused(refusal.message, "DEVICE_REVOKED", **orders(surrender), refresh_token=token)

    async def refresh(self, token: str) -> Grant:
        """Renew by a refresh token, which is used up. Raises GrantRefused."""
        await self.tokens.ring.ready()
        try:
            actor, refresh = await self._renew(token)
        except GrantRefused as refusal:
            raise await self._explained(token, refusal) from None
        return Grant(actor, self.tokens.issue(actor), refresh)

    async def _renew(self, token: str) -> tuple[Actor, str]:
        whose = await self._whose(token)
        async with self.kernel.database.writing(whose.organisation_id) as session:
            try:
                renewed = await self._rotate(session, whose)
            except _FamilyEnded:
                # Commit nonetheless: the end of the family must stay.
                await session.statements.notify(ADMISSIONS, str(whose.organisation_id))
                await session.commit()
                self.kernel.database.announce(whose.organisation_id, 0, admits=True)
                raise
            await session.commit()
        return renewed

    async def _explained(self, token: str, refusal: GrantRefused) -> GrantRefused:
        """Return the refusal, or for a revoked device its orders, whatever else would refuse it."""
        device = await recognise(self.kernel.database, self.tokens, token)
        if device is None or not device.must_wipe:
            return refusal
        return GrantRefused("This device was revoked.", "DEVICE_REVOKED", **orders(device.surrender))

    async def _whose(self, token: str) -> RefreshToken:
        """Return the token's row, which names its organisation. Raises GrantRefused."""
        async with self.kernel.database.reading(organisation_of(token)) as session:
            row = await session.scalar(select(RefreshToken).where(RefreshToken.hash == hashed(token)))
        if row is None or not self.tokens.admits(row.organisation_id):
            raise GrantRefused(_UNUSABLE)
        return row

    async def _rotate(self, session: AsyncSession, whose: RefreshToken) -> tuple[Actor, str]:
        actor = await self._standing(session, whose)
        token = await _locked(session, whose.hash)
        if token is None or token.revoked_at is not None or token.expires_at <= now():
            raise GrantRefused(_UNUSABLE)
        if token.used_at is not None:
            await _replace_successor(session, token)
        refresh = await self._add(session, actor)
        await _use(session, token, hashed(refresh))
        await session.execute(
            delete(RefreshToken)
            .where(RefreshToken.family_id == token.family_id, RefreshToken.used_at < now() - _REMEMBERED)
            .execution_options(synchronize_session=False)
        )
        return actor, refresh

    async def _standing(self, session: AsyncSession, token: RefreshToken) -> Actor:
        """Return the actor, with its account and device locked until the commit. Raises GrantRefused.

        They are locked before the token, in the order that commands that end sessions use.
        """
        account = await session.scalar(
            select(Account).where(Account.id == token.account_id).with_for_update(read=True)
        )
        if account is None or account.status is not AccountStatus.ACTIVE:
            raise GrantRefused(_UNUSABLE)
        if token.device_id is not None:
            device = await session.scalar(
                select(Device).where(Device.id == token.device_id).with_for_update(read=True)
            )
            if device is None or device.status is not DeviceStatus.ENROLLED:
                raise GrantRefused(_UNUSABLE)
        return actor_of(account.organisation_id, account.id, account.role, token.device_id, token.family_id)

    async def _add(self, session: AsyncSession, actor: Actor) -> str:
        """Store a new refresh token of the actor's session.

        A frozen organisation gives none, because the server that it moves to would not know it.
        """
        await require_open(session)
        token = new_token(actor.organisation_id)
        at = now()
        await session.execute(
            insert(RefreshToken).values(
                hash=hashed(token),
                family_id=actor.session_id,
                organisation_id=actor.organisation_id,
                account_id=actor.id,
                device_id=actor.device_id,
                issued_at=at,
                expires_at=at + timedelta(days=self.tokens.settings.refresh_token_days),
            )
        )
        return token

    async def confirm_wipe(self, token: str) -> None:
        """Record that a revoked device, identified by its refresh token, has erased its copy."""
        device = await recognise(self.kernel.database, self.tokens, token)
        if device is None:
            raise GrantRefused(_UNUSABLE)
        await self.kernel.perform(device.actor, confirm_wipe, ConfirmWipe(device.id))


async def _locked(session: AsyncSession, named: str | None) -> RefreshToken | None:
    found: RefreshToken | None = await session.scalar(
        select(RefreshToken)
        .where(RefreshToken.hash == named)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return found


async def _use(session: AsyncSession, token: RefreshToken, successor: str | None) -> None:
    await session.execute(
        update(RefreshToken)
        .where(RefreshToken.hash == token.hash)
        .values(used_at=now(), successor=successor)
        .execution_options(synchronize_session=False)
    )


async def _replace_successor(session: AsyncSession, token: RefreshToken) -> None:
    """Void the successor of a token that was used before; if the successor was used too, end the family."""
    successor = await _locked(session, token.successor)
    if successor is not None and successor.used_at is None and successor.revoked_at is None:
        await _use(session, successor, None)
        return
    await session.execute(
        update(RefreshToken)
        .where(RefreshToken.family_id == token.family_id, RefreshToken.revoked_at.is_(None))
        .values(revoked_at=now())
        .execution_options(synchronize_session=False)
    )
    raise _FamilyEnded(_UNUSABLE)
