"""Audits in GraphQL."""

from __future__ import annotations

from tournee.api.nodes import ComputedField, Extras, Link, ListName
from tournee.api.transitions import TRANSITIONS, Ways, by_guard, by_row
from tournee.auth.models import Account
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
from tournee.quality.queries import audit_transitions
from tournee.quality.states import AuditStatus, FindingStatus, StandardStatus

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
        ComputedField(Audit, by_guard(_OF_AUDITS, audit_transitions), TRANSITIONS),
        ComputedField(AuditFinding, by_row(_OF_FINDINGS), TRANSITIONS),
    ),
)
