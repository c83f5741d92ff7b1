"""Questions that other domains ask about audits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from tournee.kernel.actor import Actor
from tournee.kernel.reader import Reader
from tournee.kernel.state import Transition
from tournee.procedures.definition import ChecklistItemInput, unanswered
from tournee.procedures.queries import items_of, items_of_versions
from tournee.quality.models import Audit, AuditAnswer, AuditFinding
from tournee.quality.performers import against_performing
from tournee.quality.permissions import AUDITS_PERFORM
from tournee.quality.score import Score, score
from tournee.quality.states import AUDIT, AuditStatus, against_closing, against_completion, against_reporting


async def audit_items(session: AsyncSession, audit: Audit) -> list[ChecklistItemInput]:
    """Return the items of the audit's checklist; empty if it has none."""
    if audit.version_id is None:
        return []
    return await items_of(session, audit.version_id)


async def _of_audits(read: Reader, model: Any, audits: Sequence[Audit]) -> dict[UUID, list[Any]]:
    """Return the answers, or the findings, of each audit."""
    found: dict[UUID, list[Any]] = {audit.id: [] for audit in audits}
    rows = await read.execute(
        select(model).where(
            model.audit_id.in_(found),
            model.deleted.is_(False),
        )
    )
    for (row,) in rows:
        found[row.audit_id].append(row)
    return found


async def score_so_far(session: AsyncSession, audit: Audit) -> Score:
    """Return the score from the answers given so far; the audit's own columns are set when it is reported."""
    answers = (await _of_audits(session, AuditAnswer, [audit]))[audit.id]
    return score(await audit_items(session, audit), {answer.item_key: answer for answer in answers})


async def audit_transitions(read: Reader, actor: Actor, audits: Sequence[Audit]) -> list[list[Transition]]:
    """Return the statuses that each audit can take, and what prevents each."""
    versions = {audit.version_id for audit in audits if audit.version_id is not None}
    items = await items_of_versions(read, versions)
    answers = await _of_audits(read, AuditAnswer, audits)
    findings = await _of_audits(read, AuditFinding, audits)
    others: list[list[str]] = [[] for _ in audits]
    if actor.may(AUDITS_PERFORM):
        others = await against_performing(read, actor, audits)
    found = []
    for audit, by_others in zip(audits, others, strict=True):
        given = {answer.item_key: answer for answer in answers[audit.id]}
        asked = items[audit.version_id] if audit.version_id else []
        missing = unanswered(asked, given, required_only=False)
        guards = {
            AuditStatus.PLANNED: audit.against_planning(),
            AuditStatus.IN_PROGRESS: by_others,
            AuditStatus.REPORTING: by_others + against_reporting(missing),
            AuditStatus.COMPLETED: against_completion(missing, findings[audit.id]),
            AuditStatus.CLOSED: against_closing(findings[audit.id]),
        }
        found.append(AUDIT.transitions(audit.status, guards))
    return found
