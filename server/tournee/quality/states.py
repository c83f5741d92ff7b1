"""The states of audits and findings, how they may follow each other, and what stands against it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from tournee.kernel.state import Machine

if TYPE_CHECKING:
    from tournee.procedures.definition import ChecklistItemInput
    from tournee.quality.models import AuditFinding


class StandardStatus(StrEnum):
    """Whether a standard's revision is in force."""

    ACTIVE = "ACTIVE"
    WITHDRAWN = "WITHDRAWN"


class AuditKind(StrEnum):
    """Who audits whom: ourselves, our customer or supplier, an independent body."""

    FIRST_PARTY = "FIRST_PARTY"
    SECOND_PARTY = "SECOND_PARTY"
    THIRD_PARTY = "THIRD_PARTY"


class AuditStatus(StrEnum):
    """How far an audit has come."""

    DRAFT = "DRAFT"
    PLANNED = "PLANNED"
    POSTPONED = "POSTPONED"
    IN_PROGRESS = "IN_PROGRESS"
    REPORTING = "REPORTING"
    COMPLETED = "COMPLETED"
    CLOSED = "CLOSED"
    CANCELED = "CANCELED"


class AuditPart(StrEnum):
    """What somebody does in an audit beside its lead auditor."""

    AUDITOR = "AUDITOR"
    OBSERVER = "OBSERVER"
    EXPERT = "EXPERT"


class FindingGrade(StrEnum):
    """How grave a finding is."""

    CONFORMITY = "CONFORMITY"
    OPPORTUNITY = "OPPORTUNITY"
    OBSERVATION = "OBSERVATION"
    MINOR = "MINOR"
    MAJOR = "MAJOR"
    CRITICAL = "CRITICAL"


class FindingStatus(StrEnum):
    """What has become of a finding."""

    OPEN = "OPEN"
    CORRECTED = "CORRECTED"
    VERIFIED = "VERIFIED"
    CLOSED = "CLOSED"


STANDARD = Machine({StandardStatus.ACTIVE: [StandardStatus.WITHDRAWN]})

AUDIT = Machine(
    {
        AuditStatus.DRAFT: [AuditStatus.PLANNED, AuditStatus.CANCELED],
        AuditStatus.PLANNED: [AuditStatus.POSTPONED, AuditStatus.IN_PROGRESS, AuditStatus.CANCELED],
        AuditStatus.POSTPONED: [AuditStatus.PLANNED, AuditStatus.CANCELED],
        AuditStatus.IN_PROGRESS: [AuditStatus.REPORTING],
        AuditStatus.REPORTING: [AuditStatus.COMPLETED],
        AuditStatus.COMPLETED: [AuditStatus.CLOSED],
    }
)

FINDING = Machine(
    {
        FindingStatus.OPEN: [FindingStatus.CORRECTED, FindingStatus.CLOSED],
        FindingStatus.CORRECTED: [FindingStatus.OPEN, FindingStatus.VERIFIED, FindingStatus.CLOSED],
        FindingStatus.VERIFIED: [FindingStatus.OPEN, FindingStatus.CLOSED],
    }
)

GRAVE = frozenset({FindingGrade.MAJOR, FindingGrade.CRITICAL})

# While an audit is in one of these, answers and findings come in.
WORKING = frozenset({AuditStatus.IN_PROGRESS, AuditStatus.REPORTING})
# From the report on it has a score.
RATED = frozenset({AuditStatus.REPORTING, AuditStatus.COMPLETED, AuditStatus.CLOSED})
ENDED = frozenset({AuditStatus.COMPLETED, AuditStatus.CLOSED, AuditStatus.CANCELED})


def against_reporting(unanswered: Sequence[ChecklistItemInput]) -> list[str]:
    """Every item that is shown has an answer or a reason why it does not apply."""
    if not unanswered:
        return []
    return [f"These items have no answer yet: {', '.join(item.key for item in unanswered)}."]


def against_completion(
    unanswered: Sequence[ChecklistItemInput], findings: Iterable[AuditFinding]
) -> list[str]:
    """And every grave finding says what will be done about it until when."""
    lacking = sum(
        finding.grade in GRAVE and not (finding.has_correction and finding.due_on is not None)
        for finding in findings
    )
    missing = [f"Major or critical findings without correction and due date: {lacking}."] if lacking else []
    return against_reporting(unanswered) + missing


def against_closing(findings: Iterable[AuditFinding]) -> list[str]:
    """Every finding is closed."""
    still_open = sum(finding.status is not FindingStatus.CLOSED for finding in findings)
    return [f"Findings not closed yet: {still_open}."] if still_open else []
