"""Who holds an audit: its lead, its team and the person responsible."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import select, union_all
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.log import Entry
from tournee.kernel.membership import Concerned, Extent, MembershipRule, Pairs, among, prepared
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


@cache
def _holdings(extent: Extent) -> Any:
    """Select who leads, takes part in or is responsible for which audit."""
    own = [
        select(account, audit).where(model.deleted.is_(False), among(extent, account, audit))
        for model, account, audit in (
            (Audit, Audit.lead_auditor_id, Audit.id),
            (Audit, Audit.auditee_responsible_id, Audit.id),
            (AuditMember, AuditMember.account_id, AuditMember.audit_id),
        )
    ]
    return prepared(union_all(*own))


async def _held(session: AsyncSession, concerned: Concerned) -> Pairs:
    """Return the audits that each account leads, takes part in or is responsible for."""
    rows = await session.execute(_holdings(concerned.extent), concerned.parameters())
    return {(account, audit) for account, audit in rows if account is not None}


MEMBERSHIP = MembershipRule(_touched, _held)
