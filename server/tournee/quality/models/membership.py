"""Who holds an audit: its lead, its team and the person responsible."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.log import Entry
from tournee.kernel.membership import Concerned, MembershipRule, Pairs, among
from tournee.quality.models.audits import Audit, AuditMember


async def _touched(_session: AsyncSession, entries: Sequence[Entry]) -> Concerned:
    found = Concerned()
    for entry in entries:
        row = entry.row
        if isinstance(row, AuditMember):
            found.add(row.account_id, [row.audit_id])
        if isinstance(row, Audit):
            for account in (row.lead_auditor_id, row.auditee_responsible_id):
                found.add(account, [row.id])
            for name in ("leadAuditorId", "auditeeResponsibleId"):
                found.add((entry.before or {}).get(name), [row.id])
    return found


async def _held(session: AsyncSession, concerned: Concerned) -> Pairs:
    """Return the audits that each account leads, takes part in or is responsible for."""
    found: Pairs = set()
    for model, account, audit in (
        (Audit, Audit.lead_auditor_id, Audit.id),
        (Audit, Audit.auditee_responsible_id, Audit.id),
        (AuditMember, AuditMember.account_id, AuditMember.audit_id),
    ):
        rows = await session.execute(
            select(account, audit).where(model.deleted.is_(False), among(concerned.extent, account, audit)),
            concerned.parameters(),
        )
        found |= {(held_by, scope) for held_by, scope in rows if held_by is not None}
    return found


MEMBERSHIP = MembershipRule(_touched, _held)
