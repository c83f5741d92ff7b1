"""Audits in GraphQL."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select

from tournee.api.context import Info
from tournee.api.nodes import ComputedField, Extras, Link, ListName
from tournee.api.procedures import items_of
from tournee.api.transitions import TRANSITIONS, Ways, by_row, for_actor
from tournee.auth.models import Account
from tournee.kernel.actor import Scope
from tournee.kernel.state import Transition
from tournee.procedures.definition import unanswered
from tournee.quality.commands import (
    cancel_audit,
    close_audit,
    close_audit_finding,
    complete_audit,
    correct_audit_finding,
    plan_audit,
    postpone_audit,
    reopen_audit_finding,
    report_audit,
    start_audit,
    verify_audit_finding,
    withdraw_quality_standard,
)
from tournee.quality.models import (
    Audit,
    AuditAnswer,
    AuditFinding,
    AuditMember,
    QualityStandard,
    StandardClause,
)
from tournee.quality.performers import LED_BY_OTHERS
from tournee.quality.states import (
    AUDIT,
    AuditPart,
    AuditStatus,
    FindingStatus,
    StandardStatus,
    against_closing,
    against_completion,
    against_reporting,
)


async def _of_audit(info: Info, model: Any, audit_id: UUID) -> list[Any]:
    organisation = info.context.actor.organisation_id
    return await info.context.load.related(
        f"{model.__name__} of an audit",
        audit_id,
        lambda ids: select(model.audit_id, model).where(
            model.organisation_id == organisation, model.audit_id.in_(ids), model.deleted.is_(False)
        ),
    )


async def _against_performing(root: Audit, info: Info) -> list[str]:
    """Who does not write quality carries out only what they lead or are an auditor of."""
    actor = info.context.actor
    if actor.may(Scope.QUALITY_WRITE) or not actor.may(Scope.AUDITS_PERFORM):
        return []
    members = await _of_audit(info, AuditMember, root.id)
    auditors = {member.account_id for member in members if member.part is AuditPart.AUDITOR}
    return [] if actor.id in auditors | {root.lead_auditor_id} else [LED_BY_OTHERS]


async def audit_transitions(root: Audit, info: Info) -> list[Transition]:
    """What may become of it now, by whoever asks."""
    answers = {answer.item_key: answer for answer in await _of_audit(info, AuditAnswer, root.id)}
    missing = unanswered(await items_of(info, root.version_id), answers, required_only=False)
    findings = await _of_audit(info, AuditFinding, root.id)
    others = await _against_performing(root, info)
    guards = {
        AuditStatus.PLANNED: root.against_planning(),
        AuditStatus.IN_PROGRESS: others,
        AuditStatus.REPORTING: others + against_reporting(missing),
        AuditStatus.COMPLETED: against_completion(missing, findings),
        AuditStatus.CLOSED: against_closing(findings),
    }
    return for_actor(info.context.actor, root.status, AUDIT.transitions(root.status, guards), _OF_AUDITS)


_OF_AUDITS: Ways = {
    AuditStatus.PLANNED: (plan_audit,),
    AuditStatus.POSTPONED: (postpone_audit,),
    AuditStatus.IN_PROGRESS: (start_audit,),
    AuditStatus.REPORTING: (report_audit,),
    AuditStatus.COMPLETED: (complete_audit,),
    AuditStatus.CLOSED: (close_audit,),
    AuditStatus.CANCELED: (cancel_audit,),
}
_OF_FINDINGS: Ways = {
    FindingStatus.OPEN: (reopen_audit_finding,),
    FindingStatus.CORRECTED: (correct_audit_finding,),
    FindingStatus.VERIFIED: (verify_audit_finding,),
    FindingStatus.CLOSED: (close_audit_finding,),
}


_OF_STANDARDS: Ways = {StandardStatus.WITHDRAWN: (withdraw_quality_standard,)}

EXTRAS = Extras(
    lists=(
        ListName(StandardClause, "standard_id", "clauses"),
        ListName(StandardClause, "parent_id", "subclauses"),
        ListName(AuditMember, "audit_id", "members"),
        ListName(AuditAnswer, "audit_id", "answers"),
        ListName(AuditAnswer, "site_id", None),
        ListName(AuditAnswer, "technician_id", None),
        ListName(AuditFinding, "audit_id", "findings"),
    ),
    links=(
        Link(Audit, "lead_auditor_id", Account),
        Link(Audit, "auditee_responsible_id", Account),
        Link(AuditMember, "account_id", Account),
        Link(AuditFinding, "verified_by_id", Account),
    ),
    computed=(
        ComputedField(
            QualityStandard,
            by_row(_OF_STANDARDS),
            TRANSITIONS,
            needs=("status",),
        ),
        ComputedField(Audit, audit_transitions, TRANSITIONS, name="availableTransitions"),
        ComputedField(AuditFinding, by_row(_OF_FINDINGS), TRANSITIONS),
    ),
)
