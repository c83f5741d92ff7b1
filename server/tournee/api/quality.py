"""Audits in GraphQL."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select

from tournee.api.context import Info
from tournee.api.nodes import ComputedField, Extras, Link, ListName
from tournee.api.procedures import items_of
from tournee.api.transitions import TRANSITIONS, available_transitions
from tournee.auth.models import Account
from tournee.kernel.state import Transition
from tournee.procedures.definition import unanswered
from tournee.quality.models import Audit, AuditAnswer, AuditFinding, AuditMember, StandardClause
from tournee.quality.states import (
    AUDIT,
    AuditStatus,
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


async def audit_transitions(root: Audit, info: Info) -> list[Transition]:
    """What may become of it now."""
    answers = {answer.item_key: answer for answer in await _of_audit(info, AuditAnswer, root.id)}
    missing = unanswered(await items_of(info, root.version_id), answers, required_only=False)
    findings = await _of_audit(info, AuditFinding, root.id)
    guards = {
        AuditStatus.PLANNED: root.against_planning(),
        AuditStatus.REPORTING: against_reporting(missing),
        AuditStatus.COMPLETED: against_completion(missing, findings),
        AuditStatus.CLOSED: against_closing(findings),
    }
    return AUDIT.transitions(root.status, guards)


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
        ComputedField(Audit, audit_transitions, TRANSITIONS, name="availableTransitions"),
        ComputedField(AuditFinding, available_transitions, TRANSITIONS),
    ),
)
