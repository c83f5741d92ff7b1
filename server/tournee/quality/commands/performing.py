"""Commands that perform an audit: start, answer, report, complete, close."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import select

from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.conflict import RECORD_ON_CLOSED_PARENT
from tournee.kernel.errors import Invalid, TransitionNotAllowed
from tournee.kernel.inputs import UNSET, Limits, Unset
from tournee.kernel.merge import merge
from tournee.kernel.plain import creating, given
from tournee.kernel.transaction import Transaction
from tournee.procedures.answers import answers_of, item_of, record_answer
from tournee.procedures.definition import ChecklistItemInput, Given, points, unanswered
from tournee.quality.models import Audit, AuditAnswer, AuditFinding, StandardClause
from tournee.quality.performers import perform
from tournee.quality.permissions import AUDITS_PERFORM, QUALITY_WRITE
from tournee.quality.queries import audit_items
from tournee.quality.score import score
from tournee.quality.states import (
    AUDIT,
    RATED,
    AuditStatus,
    FindingGrade,
    FindingStatus,
    against_closing,
    against_completion,
    against_reporting,
)


async def _overtaken(tx: Transaction, audit: Audit) -> bool:
    """Return whether others ended the audit after the device last saw it. Raises if the device knew its
    status.
    """
    if audit.is_working:
        return False
    await _require_overtaken(tx, audit)
    return True


async def _require_overtaken(tx: Transaction, audit: Audit) -> None:
    if "status" not in await tx.changed_since_base(audit):
        raise TransitionNotAllowed(f"This audit is {audit.status}, not in progress.", "auditId")


async def _dispute(tx: Transaction, audit: Audit, mine: dict[str, Any]) -> None:
    await tx.conflict(
        RECORD_ON_CLOSED_PARENT,
        audit,
        base={"status": await tx.value_at_base(audit, "status")},
        mine=mine,
        theirs={"status": audit.status.value},
    )


async def _answers(tx: Transaction, audit: Audit) -> dict[str, AuditAnswer]:
    return await answers_of(tx, AuditAnswer, AuditAnswer.audit_id == audit.id)


@dataclass(frozen=True)
class StartAudit:
    audit_id: UUID
    """The audit that begins."""
    at: datetime
    """When, by the device's clock."""


@command(AUDITS_PERFORM, offline=True, fact=True)
async def start_audit(tx: Transaction, actor: Actor, do: StartAudit) -> Audit:
    """Start an audit. A started audit stays started, even if it was canceled meanwhile."""
    audit = await tx.find(Audit, do.audit_id, "auditId")
    await perform(tx, audit, {"status": AuditStatus.IN_PROGRESS.value})
    if audit.status is not AuditStatus.IN_PROGRESS and not AUDIT.can(audit.status, AuditStatus.IN_PROGRESS):
        await _require_overtaken(tx, audit)
        if audit.status in RATED:
            tx.current.merged = True
            return audit
        await _dispute(tx, audit, {"status": AuditStatus.IN_PROGRESS.value})
    audit.start(do.at)
    return audit


@dataclass(frozen=True, kw_only=True)
class AnswerAuditItem(Given):
    audit_id: UUID
    """The audit whose item is answered."""
    item_key: Annotated[str, Limits(length=60)]
    at: datetime
    """When, by the device's clock."""


@command(AUDITS_PERFORM, offline=True, fact=True)
async def answer_audit_item(tx: Transaction, actor: Actor, do: AnswerAuditItem) -> AuditAnswer:
    """Answer an item of an audit's checklist, or change the answer."""
    audit = await tx.find(Audit, do.audit_id, "auditId")
    await perform(tx, audit, {"itemKey": do.item_key})
    overtaken = await _overtaken(tx, audit)
    items = await audit_items(tx.session, audit)
    item = item_of(items, do.item_key)
    copied = {"audit_id": audit.id, "site_id": audit.site_id, "technician_id": audit.technician_id}
    answer = await record_answer(tx, AuditAnswer, audit.id, item, do, do.at, copied)
    worth = points(item, answer)
    answer.points = None if worth is None else float(worth)
    if audit.status in RATED:
        audit.rate(score(items, await _answers(tx, audit)))
    if overtaken:
        await _dispute(tx, audit, {"itemKey": do.item_key})
    return answer


@dataclass(frozen=True)
class NewAuditFinding:
    audit_id: UUID
    at: datetime
    """When it was found, by the device's clock."""
    clause_id: UUID | None = None
    item_key: Annotated[str | None, Limits(length=60)] = None


@creating(AuditFinding, AUDITS_PERFORM, offline=True, fact=True)
async def add_audit_finding(tx: Transaction, actor: Actor, do: NewAuditFinding) -> AuditFinding:
    """Record a finding of an audit; a conformity needs nothing more and is closed at once."""
    values = given(do, "at")
    said = {"finding": values["description"][:200]}
    audit = await tx.find(Audit, do.audit_id, "auditId")
    await perform(tx, audit, said)
    overtaken = await _overtaken(tx, audit)
    if not values["description"].strip():
        raise Invalid("Describe what was found.", "description")
    values["clause_id"] = await _clause(tx, audit, do)
    finding = AuditFinding(**values, site_id=audit.site_id, technician_id=audit.technician_id, found_at=do.at)
    conforms = finding.grade is FindingGrade.CONFORMITY
    finding.status = FindingStatus.CLOSED if conforms else FindingStatus.OPEN
    finding.closed_at = do.at if conforms else None
    if overtaken:
        await _dispute(tx, audit, said)
    return await tx.add(finding)


async def _clause(tx: Transaction, audit: Audit, do: NewAuditFinding) -> UUID | None:
    """Return the clause that is named, or the one that the item belongs to."""
    item: ChecklistItemInput | None = None
    if do.item_key is not None:
        item = item_of(await audit_items(tx.session, audit), do.item_key)
    clause = await tx.find_optional(StandardClause, do.clause_id, "clauseId")
    if clause is not None and audit.standard_id not in (None, clause.standard_id):
        raise Invalid("This clause belongs to another standard than the audit's.", "clauseId")
    return do.clause_id or (item.clause_id if item is not None else None)


@dataclass(frozen=True)
class ReportAudit:
    audit_id: UUID
    """The audit that was performed."""
    at: datetime
    """When, by the device's clock."""
    conclusion: str | Unset = UNSET
    """The auditors' overall conclusion; if left out, the present text stays."""


@command(AUDITS_PERFORM, offline=True)
async def report_audit(tx: Transaction, actor: Actor, do: ReportAudit) -> Audit:
    """End the inspection and report it; every item needs an answer, or a reason why it does not apply."""
    audit = await tx.find(Audit, do.audit_id, "auditId")
    await perform(tx, audit, {})
    items, answers = await audit_items(tx.session, audit), await _answers(tx, audit)
    missing = unanswered(items, answers, required_only=False)
    audit.move(AuditStatus.REPORTING, against_reporting(missing))
    audit.reported_at = do.at
    audit.rate(score(items, answers))
    if do.conclusion is not UNSET:
        await merge(tx, audit, {"conclusion": do.conclusion})
    return audit


@dataclass(frozen=True)
class CompleteAudit:
    audit_id: UUID
    """The audit whose report is finished."""
    at: datetime
    """When, by the device's clock."""


@command(QUALITY_WRITE, offline=True)
async def complete_audit(tx: Transaction, actor: Actor, do: CompleteAudit) -> Audit:
    """Complete an audit; every major or critical finding needs an action and its date."""
    audit = await tx.find(Audit, do.audit_id, "auditId")
    items, answers = await audit_items(tx.session, audit), await _answers(tx, audit)
    findings = await tx.all(select(AuditFinding).where(AuditFinding.audit_id == audit.id))
    missing = unanswered(items, answers, required_only=False)
    audit.move(AuditStatus.COMPLETED, against_completion(missing, findings))
    audit.completed_at = do.at
    audit.rate(score(items, answers))
    return audit


@dataclass(frozen=True)
class CloseAudit:
    audit_id: UUID
    """The audit whose findings are all dealt with."""
    at: datetime
    """When, by the device's clock."""


@command(QUALITY_WRITE)
async def close_audit(tx: Transaction, actor: Actor, do: CloseAudit) -> Audit:
    """Close an audit whose findings are all closed."""
    audit = await tx.find(Audit, do.audit_id, "auditId")
    findings = await tx.all(select(AuditFinding).where(AuditFinding.audit_id == audit.id))
    audit.move(AuditStatus.CLOSED, against_closing(findings))
    audit.closed_at = do.at
    return audit
