"""Commands about findings: correct, verify, close."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from tournee.kernel.actor import Actor
from tournee.kernel.command import Command, command
from tournee.kernel.errors import Blocked, Invalid, NotFound, TransitionNotAllowed
from tournee.kernel.fields import camel
from tournee.kernel.inputs import UNSET, Unset
from tournee.kernel.merge import merge
from tournee.kernel.plain import edits
from tournee.kernel.transaction import Transaction
from tournee.quality.models import Audit, AuditFinding, StandardClause
from tournee.quality.permissions import QUALITY_WRITE
from tournee.quality.states import ENDED, GRAVE, AuditStatus, FindingStatus


async def _find(tx: Transaction, id: UUID, field: str) -> tuple[Audit, AuditFinding]:
    """Return a finding and its audit; the audit is locked first, as when an audit is closed."""
    own = select(AuditFinding.audit_id).where(AuditFinding.id == id)
    audits = await tx.all(select(Audit).where(Audit.id.in_(own)))
    finding = await tx.find(AuditFinding, id, field)
    if not audits:
        raise NotFound("There is no such AuditFinding.", field)
    # A finding that arrived late may be open although its audit is closed; it is handled too.
    over = audits[0].status in (AuditStatus.CLOSED, AuditStatus.CANCELED)
    if over and finding.status is FindingStatus.CLOSED:
        raise TransitionNotAllowed(f"The audit is {audits[0].status}.", field)
    return audits[0], finding


_REPORTED = {"grade": "grade", "description": "description", "clause_id": "clauseId", "code": "code"}


def _while_open(plain: Command[Any, AuditFinding]) -> Command[Any, AuditFinding]:
    """Return the command, refused once the audit is completed: then the finding stands, and only the work
    on it continues.
    """

    async def function(tx: Transaction, actor: Actor, do: Any) -> AuditFinding:
        audit, finding = await _find(tx, do.audit_finding_id, "auditFindingId")
        given = {name for name, value in vars(do).items() if value is not UNSET}
        for name in sorted(given & _REPORTED.keys() if audit.status in ENDED else ()):
            raise TransitionNotAllowed(
                "The audit is completed; its findings cannot be changed.", _REPORTED[name]
            )
        if finding.status is FindingStatus.CLOSED and given - _REPORTED.keys() - {"audit_finding_id"}:
            raise TransitionNotAllowed("This finding is closed.", "auditFindingId")
        promised = finding.grade in GRAVE and audit.status in ENDED
        for name in ("correction", "due_on") if promised else ():
            if name in given and not str(getattr(do, name) or "").strip():
                raise Blocked(
                    "A major or critical finding must keep its correction and due date.", camel(name)
                )
        await plain(tx, actor, do)
        finding.follow_grade()
        await _check(tx, audit, finding)
        return finding

    return dataclasses.replace(plain, function=function)


async def _check(tx: Transaction, audit: Audit, finding: AuditFinding) -> None:
    clause = await tx.find_optional(StandardClause, finding.clause_id, "clauseId")
    if clause is not None and audit.standard_id not in (None, clause.standard_id):
        raise Invalid("This clause belongs to another standard than the audit's.", "clauseId")
    if not finding.description.strip():
        raise Invalid("Describe what was found.", "description")


update_audit_finding = _while_open(edits(AuditFinding, QUALITY_WRITE, offline=True))


@dataclass(frozen=True)
class CorrectAuditFinding:
    finding_id: UUID
    """The finding that was corrected."""
    at: datetime
    """When, by the device's clock."""
    correction: str | Unset = UNSET
    """What was done; if left out, the present text stays."""


@command(QUALITY_WRITE, offline=True)
async def correct_audit_finding(tx: Transaction, actor: Actor, do: CorrectAuditFinding) -> AuditFinding:
    """Record that a finding was corrected, and how."""
    _, finding = await _find(tx, do.finding_id, "findingId")
    if do.correction is not UNSET:
        await merge(tx, finding, {"correction": do.correction})
    finding.move(FindingStatus.CORRECTED)
    finding.corrected_at = do.at
    return finding


@dataclass(frozen=True)
class VerifyAuditFinding:
    finding_id: UUID
    """The finding whose correction holds."""


@command(QUALITY_WRITE, offline=True)
async def verify_audit_finding(tx: Transaction, actor: Actor, do: VerifyAuditFinding) -> AuditFinding:
    """Record that the correction was checked and works."""
    _, finding = await _find(tx, do.finding_id, "findingId")
    finding.move(FindingStatus.VERIFIED)
    finding.verified_by_id = actor.id
    return finding


@dataclass(frozen=True)
class ReopenAuditFinding:
    finding_id: UUID
    """The finding whose correction does not work."""


@command(QUALITY_WRITE, offline=True)
async def reopen_audit_finding(tx: Transaction, actor: Actor, do: ReopenAuditFinding) -> AuditFinding:
    """Record that the correction does not work."""
    _, finding = await _find(tx, do.finding_id, "findingId")
    finding.move(FindingStatus.OPEN)
    finding.corrected_at = finding.verified_by_id = None
    return finding


@dataclass(frozen=True)
class CloseAuditFinding:
    finding_id: UUID
    """The finding that is dealt with."""
    at: datetime
    """When, by the device's clock."""


@command(QUALITY_WRITE, offline=True)
async def close_audit_finding(tx: Transaction, actor: Actor, do: CloseAuditFinding) -> AuditFinding:
    """Close a finding: a minor one after its correction, a more serious one after its verification."""
    _, finding = await _find(tx, do.finding_id, "findingId")
    finding.move(FindingStatus.CLOSED)
    finding.closed_at = do.at
    return finding
