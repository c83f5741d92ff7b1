"""Which accounts hold themselves and the shared catalogue as scopes, and which e-mails sign in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.auth.models.accounts import Account, AccountStatus
from tournee.auth.models.sessions import SignInEmail
from tournee.auth.roles import OFFICE
from tournee.engine.statements import OrganisationSession
from tournee.kernel.membership import Concerned, MembershipRule, Pairs

if TYPE_CHECKING:
    from tournee.kernel.log import Entry
    from tournee.kernel.transaction import Transaction


async def _touched(_session: AsyncSession, entries: Sequence[Entry]) -> Concerned:
    changed = {
        entry.row.id
        for entry in entries
        if isinstance(entry.row, Account)
        and (entry.before is None or entry.after.keys() & {"status", "role"})
    }
    return Concerned(whole=changed)


async def _held(session: AsyncSession, concerned: Concerned) -> Pairs:
    """Return the scopes of active accounts outside the office: the account and the shared catalogue."""
    if not concerned.whole:
        return set()
    rows = await session.execute(
        select(Account.id, Account.organisation_id).where(
            Account.id.in_(concerned.whole),
            Account.status == AccountStatus.ACTIVE,
            Account.role.not_in(OFFICE),
        )
    )
    return {(id, scope) for id, organisation_id in rows for scope in (id, organisation_id)}


async def add_emails(session: OrganisationSession, emails: Iterable[str]) -> None:
    """Let these e-mails sign in to the session's organisation; those that do already are left alone."""
    own = [{"organisation_id": session.statements.organisation_id, "email": email} for email in emails]
    adding = session.statements.insert(SignInEmail).values(own)
    await session.execute(adding.on_conflict_do_nothing())


async def _settle(tx: Transaction, entries: Sequence[Entry]) -> None:
    """Keep the e-mails that sign in to this organisation in step with its accounts.

    The accounts are written by now, and their e-mails are unique: of two transactions that want the same one,
    the second comes here after the first has ended.
    """
    had: set[str] = set()
    have: set[str] = set()
    for entry in entries:
        account = entry.row
        if isinstance(account, Account) and entry.after.keys() & {"email", "deleted"}:
            had |= {email for email in ((entry.before or {}).get("email"), account.email) if email}
            have |= set() if account.deleted else {account.email}
    if lost := had - have:
        ended = delete(SignInEmail).where(SignInEmail.email.in_(lost))
        await tx.session.execute(ended.execution_options(synchronize_session=False))
    if have:
        await add_emails(tx.session, sorted(have))


MEMBERSHIP = MembershipRule(_touched, _held, _settle)
