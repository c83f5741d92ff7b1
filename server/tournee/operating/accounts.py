"""Organisations and accounts from the command line, through the usual commands.

This is the way into a server without accounts, and the way back in when the only manager has lost the
password. The change log names the operator.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select, update

from tournee.auth.commands import create_account, disable_account, enable_account, set_password
from tournee.auth.models import Account
from tournee.auth.organisations import Named, every_organisation, found, operator_of
from tournee.auth.roles import Role
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.actor import Actor
from tournee.kernel.buckets import TIME_ZONES
from tournee.kernel.command import Command, Kernel
from tournee.kernel.entity import Organisation, new_id, now
from tournee.kernel.errors import Conflict as AlreadyExists
from tournee.kernel.errors import Invalid, NotFound
from tournee.kernel.transaction import Operation, Transaction
from tournee.people.commands import create_technician

_LONGEST_NAME = 200


def make_password() -> str:
    """Return a random password, for the person to change."""
    return secrets.token_urlsafe(12)


@dataclass(frozen=True)
class NewAccount:
    """An account to add; without a name it gets the first part of the e-mail."""

    email: str
    role: Role
    password: str
    name: str | None = None
    customer_id: UUID | None = None
    language: str | None = None

    def payload(self) -> dict[str, Any]:
        values = {
            "email": self.email,
            "name": self.called,
            "role": self.role.value,
            "password": self.password,
            "customerId": None if self.customer_id is None else str(self.customer_id),
            "language": self.language,
        }
        return {name: value for name, value in values.items() if value is not None}

    @property
    def called(self) -> str:
        return self.name or self.email.partition("@")[0].strip()


@dataclass(frozen=True)
class KnownAccount:
    """An account together with its organisation."""

    account: Account
    organisation: Named


async def add_organisation(kernel: Kernel, name: str, manager: NewAccount, time_zone: str = "UTC") -> Named:
    """Add an organisation with its first manager: both or neither."""
    name = name.strip()
    _require_zone(time_zone)
    if not 0 < len(name) <= _LONGEST_NAME:
        raise Invalid(f"A name must have 1 to {_LONGEST_NAME} characters.", "NAME")
    if any(known.name == name for known in await every_organisation(kernel.database)):
        raise AlreadyExists(f"There is an organisation called {name!r} already.", "NAME")
    made = Named(new_id(), name, now())

    async def work(tx: Transaction) -> None:
        await found(tx.session, made.id, name, time_zone)
        await _add(tx, manager)

    await kernel.transact(operator_of(made.id), work)
    return made


def _require_zone(time_zone: str) -> None:
    if time_zone not in TIME_ZONES:
        raise Invalid("There is no such time zone; use an IANA name.", "ZONE")


async def set_time_zone(database: Database, organisation_id: UUID, time_zone: str) -> None:
    """Set the time zone that the organisation works in."""
    _require_zone(time_zone)
    async with database.writing(organisation_id) as session:
        own = update(Organisation).where(Organisation.id == organisation_id)
        await session.execute(own.values(time_zone=time_zone))
        await session.commit()


async def add_account(kernel: Kernel, organisation_id: UUID, account: NewAccount) -> None:
    """Add an account; for the role TECHNICIAN, also add the technician who signs in with it."""

    async def work(tx: Transaction) -> None:
        await _add(tx, account)

    await kernel.transact(operator_of(organisation_id), work)


async def _add(tx: Transaction, account: NewAccount) -> None:
    made = await _run(tx, create_account, account.payload())
    if account.role is Role.TECHNICIAN:
        # The technician's command looks the account up in the database.
        await tx.flush()
        await _run(tx, create_technician, {"name": account.called, "accountId": str(made.id)})


async def _run(tx: Transaction, command: Command[Any, Any], payload: dict[str, Any]) -> Any:
    return await command.run(tx, command.parse(payload), Operation(command.name, now()))


async def reset_password(kernel: Kernel, known: KnownAccount, password: str) -> None:
    """Give an account a new password, which ends its sessions."""
    await _perform(kernel, known, set_password, password=password)


async def disable(kernel: Kernel, known: KnownAccount) -> None:
    """Disable an account."""
    await _perform(kernel, known, disable_account)


async def enable(kernel: Kernel, known: KnownAccount) -> None:
    """Let a disabled account sign in again."""
    await _perform(kernel, known, enable_account)


async def _perform(kernel: Kernel, known: KnownAccount, command: Command[Any, Any], **more: str) -> None:
    actor: Actor = operator_of(known.organisation.id)
    await kernel.perform(actor, command, command.parse({"accountId": str(known.account.id), **more}))


async def find_organisation(database: Database, wanted: str | None) -> Named:
    """Return the organisation with this name or id; without one, the only organisation there is."""
    every = await every_organisation(database)
    matching = [one for one in every if wanted is None or wanted in (one.name, str(one.id))]
    if len(matching) == 1:
        return matching[0]
    if not every:
        raise NotFound("There is no organisation yet: add one with `tournee organisation add`.")
    choice = ", ".join(map(str, matching or every))
    raise NotFound(f"Name one of these with --organisation, by name or id: {choice}")


async def find_account(database: Database, email: str, wanted: str | None) -> KnownAccount:
    """Return the account with this e-mail; if several organisations have one, `wanted` must choose."""
    only = None if wanted is None else await find_organisation(database, wanted)
    fitting = await list_accounts(database, only, email)
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        where = f" of {only}" if only is not None else ""
        raise NotFound(f"No account{where} has the e-mail {email!r}.")
    several = ", ".join(str(known.organisation) for known in fitting)
    raise NotFound(f"Several organisations have this e-mail; name one with --organisation: {several}")


async def list_accounts(
    database: Database, only: Named | None = None, email: str | None = None
) -> list[KnownAccount]:
    """Return the accounts, by organisation and e-mail; `only` and `email` narrow the list."""
    wanted = select(Account)
    if email is not None:
        wanted = wanted.where(Account.email == email.strip().lower())
    organisations = {one.id: one for one in ([only] if only else await every_organisation(database))}
    async with database.reading(ACROSS) as session:
        accounts = await session.scalars(wanted.order_by(Account.email, Account.id))
    known = [
        KnownAccount(account, organisations[account.organisation_id])
        for account in accounts
        if account.organisation_id in organisations
    ]
    return sorted(known, key=lambda one: one.organisation.name)
