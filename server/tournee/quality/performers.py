"""Who performs an audit: its lead, the auditors of its team, and everybody who may write quality records."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import and_, select

from tournee.kernel.actor import Actor
from tournee.kernel.conflict import ConflictKind, Resolution
from tournee.kernel.errors import Forbidden
from tournee.kernel.log import Record
from tournee.kernel.reader import Reader
from tournee.kernel.transaction import Transaction
from tournee.quality.models import Audit, AuditMember
from tournee.quality.permissions import QUALITY_WRITE
from tournee.quality.states import AuditPart

RECORD_ON_REASSIGNED_PARENT = ConflictKind(
    "RECORD_ON_REASSIGNED_PARENT",
    "A person worked on an audit that others had taken over.",
    Resolution.ACKNOWLEDGED,
)


async def against_performing(read: Reader, actor: Actor, audits: Sequence[Audit]) -> list[list[str]]:
    """Return why the actor may not perform the audit: without the permission, only its lead and its
    auditors may.
    """
    if actor.may(QUALITY_WRITE):
        return [[] for _ in audits]
    others = {audit.id for audit in audits if audit.lead_auditor_id != actor.id}
    if others:
        others -= await _audited_by(read, actor, others)
    return [
        ["Only the audit's lead auditor and auditors may do this."] if audit.id in others else []
        for audit in audits
    ]


async def _audited_by(read: Reader, actor: Actor, audit_ids: Collection[UUID]) -> set[UUID]:
    """Return those of these audits whose team has the actor as an auditor."""
    rows = await read.execute(
        select(AuditMember.audit_id).where(
            AuditMember.audit_id.in_(audit_ids),
            AuditMember.account_id == actor.id,
            AuditMember.part == AuditPart.AUDITOR,
            AuditMember.deleted.is_(False),
        )
    )
    return {audit_id for (audit_id,) in rows}


async def perform(tx: Transaction, audit: Audit, mine: dict[str, Any]) -> None:
    """Raise unless the actor performs the audit, or did so when the device last saw it.

    In the second case, what the actor did on the spot is a fact: it stands, and an auditor learns of it.
    """
    (against,) = await against_performing(tx.session, tx.actor, [audit])
    if not against:
        return
    if not tx.current.fact or not await _carried_out(tx, audit):
        raise Forbidden(" ".join(against), "auditId")
    await tx.conflict(
        RECORD_ON_REASSIGNED_PARENT,
        audit,
        base={"leadAuditorId": await tx.value_at_base(audit, "leadAuditorId")},
        mine=mine,
        theirs={"leadAuditorId": None if audit.lead_auditor_id is None else str(audit.lead_auditor_id)},
    )


async def _carried_out(tx: Transaction, audit: Audit) -> bool:
    """Return whether the actor led it, or was an auditor of its team, when the device last saw it."""
    if tx.current.base is None:
        return False
    if await tx.value_at_base(audit, "leadAuditorId") == str(tx.actor.id):
        return True
    same = and_(Record.organisation_id == AuditMember.organisation_id, Record.id == AuditMember.id)
    changed = await tx.session.scalars(
        select(AuditMember)
        .join(Record, same)
        .where(
            AuditMember.audit_id == audit.id,
            AuditMember.account_id == tx.actor.id,
            Record.seq > tx.current.base,
        )
    )
    parts = [await tx.value_at_base(member, "part") or member.part for member in changed]
    return AuditPart.AUDITOR in parts
