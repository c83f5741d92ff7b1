"""Audits with their teams, answers and findings."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime
from uuid import UUID, uuid5

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped

from tournee.auth.roles import Role
from tournee.kernel.entity import Entity
from tournee.kernel.errors import TransitionNotAllowed, refuse_wrong
from tournee.kernel.fields import Merge, column, reference
from tournee.kernel.ranks import rank_index
from tournee.kernel.state import Transition
from tournee.kernel.times import TimeSource
from tournee.procedures.answers import Answer
from tournee.quality.permissions import QUALITY_READ
from tournee.quality.score import AuditResult, Score
from tournee.quality.states import (
    AUDIT,
    ENDED,
    FINDING,
    GRAVE,
    OVER,
    WORKING,
    AuditKind,
    AuditPart,
    AuditStatus,
    FindingGrade,
    FindingStatus,
)

_AUDITED = UUID("b2b7d0f5-6d0c-5c0b-9d5b-8a1f2c7e4d33")


def audited_scope(audit_id: UUID) -> UUID:
    """Return the scope of an audit for the technician whose work it is about; the team is not in it."""
    return uuid5(_AUDITED, audit_id.hex)


def _about(technician_id: UUID | None, audit_id: UUID) -> UUID | None:
    return None if technician_id is None else audited_scope(audit_id)


class Audit(Entity):
    """A planned check whether work, a site or a technician meets the requirements of a standard."""

    __tablename__ = "audit"
    __table_args__ = (
        UniqueConstraint("organisation_id", "external_key"),
        Index("ix_audit_lead_auditor_id", "organisation_id", "lead_auditor_id"),
        Index("ix_audit_auditee_responsible_id", "organisation_id", "auditee_responsible_id"),
    )
    reads = QUALITY_READ
    decider = Role.AUDITOR

    title: Mapped[str] = column(300)
    """What people call it in plans and reports."""
    kind: Mapped[AuditKind] = column(default=AuditKind.FIRST_PARTY)
    """Who audits whom."""
    external_key: Mapped[str | None] = column(200, merge=Merge.FIRST_WINS)
    """The record's key in the system it was imported from; null if it was made here."""
    standard_id: Mapped[UUID | None] = reference("quality_standard")
    """The standard that the audit checks against; null if it is not one of ours."""
    version_id: Mapped[UUID | None] = reference(
        "checklist_version", description="The version of the checklist, which stays the same."
    )
    customer_id: Mapped[UUID | None] = reference("customer")
    """The customer concerned; null if none is."""
    site_id: Mapped[UUID | None] = reference("site")
    """Where it takes place; null if at no site."""
    asset_id: Mapped[UUID | None] = reference("asset")
    """The asset that is looked at; null if none is."""
    work_order_id: Mapped[UUID | None] = reference("work_order")
    """The order whose work is looked at; null if none is."""
    technician_id: Mapped[UUID | None] = reference("technician", description="Whose work is audited.")
    lead_auditor_id: Mapped[UUID | None] = column(description="The account that leads it.")
    auditee_responsible_id: Mapped[UUID | None] = column(
        description="The account responsible for what is audited."
    )
    scope: Mapped[str | None] = column(description="What is looked at, and what is not.")
    criteria: Mapped[str | None] = column(description="What it checks against.")
    conclusion: Mapped[str | None] = column()
    """The auditors' overall conclusion; null until the report."""
    planned_from: Mapped[datetime | None] = column(time_source=TimeSource.PLAN)
    """When it is to begin; null while it has no date."""
    planned_to: Mapped[datetime | None] = column(time_source=TimeSource.PLAN)
    """When it is to end; null while it has no date."""
    passing_percent: Mapped[int] = column(default=80, minimum=0, maximum=100)
    """The least score, in percent of the greatest possible, that passes."""
    status: Mapped[AuditStatus] = column(merge=Merge.STATE_MACHINE, default=AuditStatus.DRAFT)
    """Where the audit stands. Commands such as `startAudit` change it."""
    reason: Mapped[str | None] = column(
        1000, merge=Merge.SERVER_ONLY, description="Why it was canceled or postponed."
    )
    performed_at: Mapped[datetime | None] = column(time_source=TimeSource.DEVICE, merge=Merge.SERVER_ONLY)
    """When it began, by the device's clock; null until then."""
    reported_at: Mapped[datetime | None] = column(time_source=TimeSource.DEVICE, merge=Merge.SERVER_ONLY)
    """When the report was handed in; null until then."""
    completed_at: Mapped[datetime | None] = column(time_source=TimeSource.DEVICE, merge=Merge.SERVER_ONLY)
    """When it was completed; null until then."""
    closed_at: Mapped[datetime | None] = column(time_source=TimeSource.DEVICE, merge=Merge.SERVER_ONLY)
    """When its last finding was dealt with and it was closed; null until then."""
    score: Mapped[float | None] = column(merge=Merge.SERVER_ONLY)
    """Points reached, weighted; null until the report, or if nothing was judged."""
    max_score: Mapped[float | None] = column(merge=Merge.SERVER_ONLY)
    """The most points that could have been reached; null if the score is."""
    score_percent: Mapped[float | None] = column(
        merge=Merge.SERVER_ONLY, description="Null if there was nothing to judge."
    )
    capped_by_critical: Mapped[bool] = column(
        merge=Merge.SERVER_ONLY, default=False, description="A critical item failed, and so did the audit."
    )
    result: Mapped[AuditResult | None] = column(merge=Merge.SERVER_ONLY)
    """Null until the audit is reported."""
    disposition: Mapped[str | None] = column(
        1000, merge=Merge.SERVER_ONLY, description="The outcome in the words of an imported audit's source."
    )

    def scopes(self) -> Iterable[UUID | None]:
        return (self.id, self.site_id, _about(self.technician_id, self.id))

    def is_over(self) -> bool:
        return self.status in OVER

    def check(self) -> None:
        lead, starts, ends = self.lead_auditor_id, self.planned_from, self.planned_to
        own = lead is not None and lead == self.auditee_responsible_id
        backwards = starts is not None and ends is not None and ends < starts
        refuse_wrong(
            (own, "Nobody may audit work that they are responsible for.", "auditeeResponsibleId"),
            (backwards, "The audit would end before it begins.", "plannedTo"),
        )

    @property
    def is_working(self) -> bool:
        return self.status in WORKING

    def require_editable(self, names: Collection[str]) -> None:
        """Raise unless these fields may change: the basis of answers and findings until the audit begins,
        the rest until it ends.
        """
        if self.status in ENDED:
            raise TransitionNotAllowed(f"This audit is {self.status}.", "auditId")
        settled = [name for name in _SETTLED if name in names]
        if self.is_working and settled:
            raise TransitionNotAllowed("This cannot be changed after the audit began.", _SETTLED[settled[0]])

    def against_planning(self) -> list[str]:
        lacking = {"lead auditor": self.lead_auditor_id, "begin": self.planned_from}
        return [f"The audit has no {what} yet." for what, value in lacking.items() if value is None]

    def move(self, to: AuditStatus, blocked_by: Iterable[str] = ()) -> None:
        AUDIT.require(self.status, to, blocked_by, "auditId")
        self.status = to

    def start(self, at: datetime) -> None:
        """Start it, whatever was planned; the earliest start counts."""
        self.status = AuditStatus.IN_PROGRESS
        self.reason = None
        if self.performed_at is None or at < self.performed_at:
            self.performed_at = at

    def rate(self, score: Score) -> None:
        self.score, self.max_score = float(score.points), float(score.maximum)
        self.score_percent = score.percent
        self.capped_by_critical = score.critical_failed
        self.result = score.result(self.passing_percent)


_SETTLED = {
    "version_id": "versionId",
    "standard_id": "standardId",
    "site_id": "siteId",
    "technician_id": "technicianId",
    "passing_percent": "passingPercent",
}


class AuditMember(Entity):
    """A person who takes part in an audit beside its lead auditor."""

    __tablename__ = "audit_member"
    __table_args__ = (Index("ix_audit_member_account_id", "organisation_id", "account_id"),)
    reads = QUALITY_READ
    decider = Role.AUDITOR

    audit_id: Mapped[UUID] = reference("audit")
    """The audit that the person takes part in."""
    account_id: Mapped[UUID] = column()
    """The person who takes part."""
    part: Mapped[AuditPart] = column(default=AuditPart.AUDITOR)
    """What the person does in it."""

    def scopes(self) -> Iterable[UUID | None]:
        return (self.audit_id,)


class AuditAnswer(Answer):
    """The answer to one item of an audit's checklist, with its points."""

    __tablename__ = "audit_answer"
    reads = QUALITY_READ
    is_fact = True
    decider = Role.AUDITOR

    audit_id: Mapped[UUID] = reference("audit", merge=Merge.APPEND_ONLY)
    """The audit that it is part of."""
    site_id: Mapped[UUID | None] = reference("site", merge=Merge.SERVER_ONLY)
    """As in the audit."""
    technician_id: Mapped[UUID | None] = reference("technician", merge=Merge.SERVER_ONLY)
    """The technician whose work is audited; null if nobody's in particular."""
    points: Mapped[float | None] = column(
        merge=Merge.SERVER_ONLY, description="From 0 to 1, before weighting; null if it is not judged."
    )

    def scopes(self) -> Iterable[UUID | None]:
        return (self.audit_id, self.site_id, _about(self.technician_id, self.audit_id))


class AuditFinding(Entity):
    """A finding of an audit, and what is done about it."""

    __tablename__ = "audit_finding"
    __table_args__ = (rank_index("audit_finding", "grade", FindingGrade),)
    reads = QUALITY_READ
    decider = Role.AUDITOR

    audit_id: Mapped[UUID] = reference("audit", merge=Merge.APPEND_ONLY)
    """The audit that found it."""
    site_id: Mapped[UUID | None] = reference("site", merge=Merge.SERVER_ONLY)
    """As in the audit."""
    technician_id: Mapped[UUID | None] = reference("technician", merge=Merge.SERVER_ONLY)
    """The technician whose work is audited; null if nobody's in particular."""
    clause_id: Mapped[UUID | None] = reference("standard_clause")
    """The clause that is not met; null if it is not one of ours."""
    item_key: Mapped[str | None] = column(60, merge=Merge.APPEND_ONLY)
    """The checklist item that showed it; null if none did."""
    code: Mapped[str | None] = column(
        60, description="The number of the rule, if it is not one of our clauses."
    )
    grade: Mapped[FindingGrade] = column()
    """How serious it is, and so what has to follow."""
    description: Mapped[str] = column()
    """What was found, so that somebody who was not there understands it."""
    correction: Mapped[str | None] = column(description="What is done about it.")
    due_on: Mapped[date | None] = column()
    """The last day to correct it; null if there is no deadline."""
    status: Mapped[FindingStatus] = column(merge=Merge.STATE_MACHINE, default=FindingStatus.OPEN)
    """How far the correction has come."""
    found_at: Mapped[datetime | None] = column(time_source=TimeSource.DEVICE, merge=Merge.SERVER_ONLY)
    """When it was found, by the device's clock; null for imported findings without a time."""
    corrected_at: Mapped[datetime | None] = column(time_source=TimeSource.DEVICE, merge=Merge.SERVER_ONLY)
    """When somebody reported it as corrected; null until then."""
    verified_by_id: Mapped[UUID | None] = column(merge=Merge.SERVER_ONLY)
    """The account that checked the correction; null until then."""
    closed_at: Mapped[datetime | None] = column(time_source=TimeSource.DEVICE, merge=Merge.SERVER_ONLY)
    """When nothing was left to do; null until then."""

    def scopes(self) -> Iterable[UUID | None]:
        return (self.audit_id, self.site_id, _about(self.technician_id, self.audit_id))

    def is_over(self) -> bool:
        return self.status is FindingStatus.CLOSED

    @property
    def has_correction(self) -> bool:
        return bool((self.correction or "").strip())

    def guards(self) -> dict[FindingStatus, list[str]]:
        """What stands against each next status."""
        correct = [] if self.has_correction else ["Say what was done about it."]
        close: list[str] = []
        if self.grade in GRAVE and self.status is not FindingStatus.VERIFIED:
            close = ["A major or critical finding must be verified before it is closed."]
        elif self.grade is FindingGrade.MINOR and self.status is FindingStatus.OPEN:
            close = ["A minor finding must be corrected before it is closed."]
        return {FindingStatus.CORRECTED: correct, FindingStatus.CLOSED: close}

    def follow_grade(self) -> None:
        """Reopen a closed finding if its new grade requires more than was done."""
        lacking = (self.grade in GRAVE and self.verified_by_id is None) or (
            self.grade is FindingGrade.MINOR and self.corrected_at is None
        )
        if self.status is FindingStatus.CLOSED and lacking:
            self.status, self.closed_at = FindingStatus.OPEN, None

    def transitions(self) -> list[Transition]:
        return FINDING.transitions(self.status, self.guards())

    def move(self, to: FindingStatus) -> None:
        FINDING.require(self.status, to, self.guards().get(to, ()), "findingId")
        self.status = to
