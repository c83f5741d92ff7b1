"""Which organisations have an account with an e-mail. Only this is looked up across all of them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import and_, select

from tournee.auth.models import Account, SignInEmail
from tournee.auth.models.membership import add_emails
from tournee.engine.database import Database
from tournee.engine.statements import OrganisationSession

# More organisations than any e-mail has an account in.
_MOST = 1_000

# Rows that one transaction adds.
CHUNK = 1_000


async def organisations_with(session: OrganisationSession, email: str) -> Sequence[UUID]:
    """Return the organisations that have an account with this e-mail, in a session across them all."""
    known = select(SignInEmail.organisation_id).where(SignInEmail.email == email)
    return (await session.scalars(known.order_by(SignInEmail.organisation_id).limit(_MOST))).all()


async def complete_emails(database: Database, organisation_id: UUID) -> int:
    """Add the e-mails that are missing; return how many.

    A server of an older version leaves them out while the servers are being upgraded. What it leaves behind
    does no harm: a sign-in finds no account there.
    """
    added = found = await _complete(database, organisation_id)
    while found == CHUNK:
        found = await _complete(database, organisation_id)
        added += found
    return added


async def _complete(database: Database, organisation_id: UUID) -> int:
    same = and_(SignInEmail.organisation_id == Account.organisation_id, SignInEmail.email == Account.email)
    unknown = select(Account.email).outerjoin(SignInEmail, same)
    unknown = unknown.where(SignInEmail.email.is_(None), Account.deleted.is_(False)).limit(CHUNK)
    async with database.reading(organisation_id) as session:
        emails = (await session.scalars(unknown)).all()
    if emails:
        async with database.writing(organisation_id) as session:
            await add_emails(session, emails)
            await session.commit()
    return len(emails)
