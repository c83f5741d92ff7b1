"""Who holds which scope as a technician."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.log import Entry
from tournee.kernel.membership import Concerned, MembershipRule, Pairs
from tournee.kernel.periods import WEEK, YEAR
from tournee.people.models.technicians import Technician, TechnicianProfile, TechnicianStatus

WINDOW = (TechnicianProfile.window_from, TechnicianProfile.window_to)


def to_profile() -> ColumnElement[bool]:
    """The join of a technician with their profile, which has the window."""
    return and_(
        TechnicianProfile.organisation_id == Technician.organisation_id,
        TechnicianProfile.technician_id == Technician.id,
    )


async def _touched(_session: AsyncSession, entries: Sequence[Entry]) -> Concerned:
    """Return the accounts that were or are a technician's in these changes."""
    changed = {
        state.get("accountId") or entry.row.account_id
        for entry in entries
        if isinstance(entry.row, Technician)
        and not {"accountId", "status", "deleted"}.isdisjoint(entry.after)
        for state in (entry.before or {}, entry.after)
    }
    return Concerned(whole={account for account in changed if account is not None})


async def _held(session: AsyncSession, concerned: Concerned) -> Pairs:
    """Return the scopes of active technicians: their own records, those of the periods in their windows, and
    the organisation's catalogue.
    """
    if not concerned.whole:
        return set()
    rows = await session.execute(
        select(Technician.account_id, Technician.organisation_id, Technician.id, *WINDOW)
        .outerjoin(TechnicianProfile, to_profile())
        .where(
            Technician.account_id.in_(concerned.whole),
            Technician.status == TechnicianStatus.ACTIVE,
            Technician.deleted.is_(False),
        )
    )
    return {
        (account, scope)
        for account, organisation, own, begins, ends in rows
        if account
        for scope in (
            *(organisation, own),
            *WEEK.carried(own, begins, ends),
            *YEAR.carried(own, begins, ends, ahead=1),
        )
    }


MEMBERSHIP = MembershipRule(_touched, _held)
