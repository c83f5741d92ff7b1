"""Which accounts an e-mail and a password match: one e-mail may have an account in each organisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select

from tournee.auth.emails import organisations_with
from tournee.auth.models import Account, AccountStatus
from tournee.auth.passwords import salt_of, which_fit
from tournee.auth.tokens import Tokens
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.entity import Organisation

# More accounts than any e-mail has; further ones are found only if the sign-in names their organisation.
_MOST_ACCOUNTS = 50


@dataclass(frozen=True)
class Matching:
    """The active accounts that the password matches. `proved`: it matches every account that was compared."""

    accounts: tuple[tuple[Account, str], ...]
    proved: bool

    def organisations(self) -> list[dict[str, Any]]:
        return [{"id": account.organisation_id, "name": name} for account, name in self.accounts]


async def match(
    database: Database, tokens: Tokens, email: str, password: str, organisation_id: UUID | None
) -> Matching:
    """Compare the password with all accounts of this e-mail, or with the one in the given organisation.

    This takes equally long for no account, one and several.
    """
    email = email.strip().lower()
    active = select(Account, Organisation.name).where(
        Account.email == email,
        Account.status == AccountStatus.ACTIVE,
        Organisation.id == Account.organisation_id,
    )
    async with database.reading(ACROSS) as session:
        given = await organisations_with(session, email) if organisation_id is None else [organisation_id]
        there = active.where(session.statements.among(Account.organisation_id, given))
        rows = await session.execute(there.order_by(Account.created_at, Account.id).limit(_MOST_ACCOUNTS))
        asked = [(account, name) for account, name in rows if tokens.admits(account.organisation_id)]
    fits = await which_fit(password, [account.password_hash for account, _ in asked])
    found = tuple(one for one, fit in zip(asked, fits, strict=True) if fit)
    return Matching(found, proved=bool(found) and all(fits))


async def salt_for(database: Database, email: str) -> bytes | None:
    """Return the salt of the passwords of this e-mail, in any organisation; None before the first."""
    email = email.strip().lower()
    known = select(Account.password_hash).where(Account.email == email, Account.password_hash.is_not(None))
    async with database.reading(ACROSS) as session:
        given = await organisations_with(session, email)
        there = known.where(session.statements.among(Account.organisation_id, given))
        password_hash = await session.scalar(there.order_by(Account.created_at, Account.id).limit(1))
    return None if password_hash is None else salt_of(password_hash)
