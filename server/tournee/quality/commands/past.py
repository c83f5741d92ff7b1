"""Commands for audits of the past, from other systems."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated
from uuid import UUID

from tournee.assets.models import Asset
from tournee.customers.models import Site
from tournee.kernel.actor import Actor
from tournee.kernel.command import command
from tournee.kernel.errors import Invalid
from tournee.kernel.inputs import UNSET, Limits, Unset
from tournee.kernel.transaction import Transaction
from tournee.kernel.values import new_row
from tournee.quality.commands.planning import is_no_double, is_of_the_sites_customer
from tournee.quality.models import Audit, AuditFinding, QualityStandard, StandardClause
from tournee.quality.permissions import QUALITY_WRITE
from tournee.quality.score import AuditResult
from tournee.quality.states import AuditKind, AuditStatus, FindingGrade, FindingStatus


@dataclass(frozen=True)
class PastFindingInput:
    """A finding of a past audit."""

    grade: FindingGrade
    """How serious it was."""
    description: str
    """What was found."""
    code: Annotated[str | None, Limits(length=60)] = None
    """The number of the rule in the source; null if it has none."""
    clause_id: UUID | None = None
    """The clause that was not met; null if it is not one of ours."""
    correction: str | None = None
    """What was done about it; null if unknown."""
    status: FindingStatus = FindingStatus.CLOSED
    """How far its correction has come."""


@dataclass(frozen=True)
class RecordPastAudit:
    external_key: Annotated[str, Limits(length=200)]
    title: Annotated[str, Limits(length=300)]
    performed_at: datetime
    """When it took place."""
    kind: AuditKind = AuditKind.THIRD_PARTY
    site_id: UUID | None = None
    asset_id: UUID | None = None
    standard_id: UUID | None = None
    result: AuditResult | None = None
    score_percent: Annotated[float | None, Limits(minimum=0, maximum=100)] = None
    disposition: Annotated[str | None, Limits(length=1000)] = None
    conclusion: str | None = None
    findings: list[PastFindingInput] = field(default_factory=list)
    """What it found; empty if nothing."""
    id: UUID | Unset = UNSET


@command(QUALITY_WRITE, offline=True, past=True)
async def record_past_audit(tx: Transaction, actor: Actor, do: RecordPastAudit) -> Audit:
    """Record an audit of the past with its findings; it is closed unless one of them is still open."""
    if not do.external_key.strip():
        raise Invalid("A past audit needs an external key.", "externalKey")
    asset = await tx.find_optional(Asset, do.asset_id, "assetId")
    await tx.find_optional(Site, do.site_id, "siteId")
    await tx.find_optional(QualityStandard, do.standard_id, "standardId")
    values = {name: value for name, value in vars(do).items() if value is not UNSET and name != "findings"}
    audit = new_row(Audit, {**values, "completed_at": do.performed_at})
    if asset is not None and audit.site_id is None:
        audit.site_id = asset.site_id
    closed = all(finding.status is FindingStatus.CLOSED for finding in do.findings)
    audit.status = AuditStatus.CLOSED if closed else AuditStatus.COMPLETED
    audit.closed_at = do.performed_at if closed else None
    await is_of_the_sites_customer(tx, audit)
    await is_no_double(tx, audit)
    await tx.add(audit)
    for number, past in enumerate(do.findings):
        if not past.description.strip():
            raise Invalid("Describe what was found.", f"findings.{number}.description")
        await tx.find_optional(StandardClause, past.clause_id, f"findings.{number}.clauseId")
        await tx.add(_finding(audit, past))
    return audit


def _finding(audit: Audit, past: PastFindingInput) -> AuditFinding:
    return AuditFinding(
        **vars(past),
        audit_id=audit.id,
        site_id=audit.site_id,
        found_at=audit.performed_at,
        closed_at=audit.performed_at if past.status is FindingStatus.CLOSED else None,
    )
