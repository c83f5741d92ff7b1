"""Who carries an audit out: its lead, the auditors of its team, and whoever writes quality anyway."""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_, select

from tournee.kernel.actor import Scope
from tournee.kernel.conflict import ConflictKind
from tournee.kernel.errors import Forbidden
from tournee.kernel.log import Record
from tournee.kernel.transaction import Transaction
from tournee.quality.models import Audit, AuditMember
from tournee.quality.states import AuditPart

LED_BY_OTHERS = "This audit is led and answered by others."


async def perform(tx: Transaction, audit: Audit, mine: dict[str, Any]) -> None:
    """Let through who carries the audit out, or did so when the device last saw it.

    What such a one did on the spot is a fact: it stands, and an auditor learns of it.
    """
    if tx.actor.may(Scope.QUALITY_WRITE) or await _carries_out(tx, audit):
        return
    if not tx.current.fact or not await _carried_out(tx, audit):
        raise Forbidden(LED_BY_OTHERS, "auditId")
    await tx.conflict(
        ConflictKind.RECORD_ON_REASSIGNED_PARENT,
        audit,
        base={"leadAuditorId": await tx.value_at_base(audit, "leadAuditorId")},
        mine=mine,
        theirs={"leadAuditorId": None if audit.lead_auditor_id is None else str(audit.lead_auditor_id)},
        role="AUDITOR",
    )


async def _carries_out(tx: Transaction, audit: Audit) -> bool:
    if audit.lead_auditor_id == tx.actor.id:
        return True
    own = select(AuditMember.id).where(
        AuditMember.organisation_id == tx.organisation_id,
        AuditMember.audit_id == audit.id,
        AuditMember.account_id == tx.actor.id,
        AuditMember.part == AuditPart.AUDITOR,
        AuditMember.deleted.is_(False),
    )
    return await tx.session.scalar(own) is not None


async def _carried_out(tx: Transaction, audit: Audit) -> bool:
    """Whether they led it, or were an auditor of its team, when the device last saw it."""
    if tx.current.base is None:
        return False
    if await tx.value_at_base(audit, "leadAuditorId") == str(tx.actor.id):
        return True
    same = and_(Record.organisation_id == AuditMember.organisation_id, Record.id == AuditMember.id)
    changed = await tx.session.scalars(
        select(AuditMember)
        .join(Record, same)
        .where(
            AuditMember.organisation_id == tx.organisation_id,
            AuditMember.audit_id == audit.id,
            AuditMember.account_id == tx.actor.id,
            Record.seq > tx.current.base,
        )
    )
    parts = [await tx.value_at_base(member, "part") or member.part for member in changed]
    return AuditPart.AUDITOR in parts
