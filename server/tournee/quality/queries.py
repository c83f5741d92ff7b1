"""What others ask of audits."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.state import Transition
from tournee.procedures.definition import ChecklistItemInput, unanswered
from tournee.procedures.queries import items_of
from tournee.quality.models import Audit, AuditAnswer, AuditFinding
from tournee.quality.score import Score, score
from tournee.quality.states import AUDIT, AuditStatus, against_closing, against_completion, against_reporting


async def audit_items(session: AsyncSession, audit: Audit) -> list[ChecklistItemInput]:
    """What the audit's checklist asks; nothing where it has none."""
    if audit.version_id is None:
        return []
    return await items_of(session, audit.organisation_id, audit.version_id)


async def _answers(session: AsyncSession, audit: Audit) -> dict[str, AuditAnswer]:
    rows = await session.scalars(
        select(AuditAnswer).where(
            AuditAnswer.organisation_id == audit.organisation_id,
            AuditAnswer.audit_id == audit.id,
            AuditAnswer.deleted.is_(False),
        )
    )
    return {answer.item_key: answer for answer in rows}


async def _findings(session: AsyncSession, organisation_id: UUID, audit_id: UUID) -> Sequence[AuditFinding]:
    rows = await session.scalars(
        select(AuditFinding).where(
            AuditFinding.organisation_id == organisation_id,
            AuditFinding.audit_id == audit_id,
            AuditFinding.deleted.is_(False),
        )
    )
    return rows.all()


async def score_so_far(session: AsyncSession, audit: Audit) -> Score:
    """The score by the answers given until now; the audit's own columns are filled when it is reported."""
    return score(await audit_items(session, audit), await _answers(session, audit))


async def audit_transitions(session: AsyncSession, audit: Audit) -> list[Transition]:
    """Which status may follow, and what stands against it."""
    missing = unanswered(
        await audit_items(session, audit), await _answers(session, audit), required_only=False
    )
    findings = await _findings(session, audit.organisation_id, audit.id)
    return AUDIT.transitions(
        audit.status,
        {
            AuditStatus.PLANNED: audit.against_planning(),
            AuditStatus.REPORTING: against_reporting(missing),
            AuditStatus.COMPLETED: against_completion(missing, findings),
            AuditStatus.CLOSED: against_closing(findings),
        },
    )
