"""Who holds an audit: its lead, its team and the person responsible."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.log import Entry
from tournee.kernel.visibility import MembershipRule
from tournee.quality.models.audits import Audit, AuditMember


async def _touched(_session: AsyncSession, _organisation_id: UUID, entries: Sequence[Entry]) -> set[UUID]:
    found: set[UUID | None] = set()
    for entry in entries:
        if isinstance(entry.row, AuditMember):
            found.add(entry.row.account_id)
        if isinstance(entry.row, Audit):
            for values in (entry.before or {}, entry.after):
                found |= {values.get("leadAuditorId"), values.get("auditeeResponsibleId")}
    return {account for account in found if account is not None}


async def _held(
    session: AsyncSession, organisation_id: UUID, accounts: Collection[UUID]
) -> set[tuple[UUID, UUID]]:
    """Return the audits that each account leads, takes part in or is responsible for."""
    found: set[tuple[UUID, UUID]] = set()
    for model, account, audit in (
        (Audit, Audit.lead_auditor_id, Audit.id),
        (Audit, Audit.auditee_responsible_id, Audit.id),
        (AuditMember, AuditMember.account_id, AuditMember.audit_id),
    ):
        rows = await session.execute(
            select(account, audit).where(model.deleted.is_(False), account.in_(accounts))
        )
        found |= {(held_by, scope) for held_by, scope in rows if held_by is not None}
    return found


MEMBERSHIP = MembershipRule(_touched, _held)
