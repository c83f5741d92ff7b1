"""The states of audits and findings, which may follow which, and what prevents them."""

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
    """New audits can check against it."""
    WITHDRAWN = "WITHDRAWN"
    """No new audits; those that exist keep it."""


class AuditKind(StrEnum):
    """Who audits whom: ourselves, our customer or supplier, an independent body."""

    FIRST_PARTY = "FIRST_PARTY"
    """We audit ourselves."""
    SECOND_PARTY = "SECOND_PARTY"
    """We audit a supplier, or a customer audits us."""
    THIRD_PARTY = "THIRD_PARTY"
    """An independent body audits us."""


class AuditStatus(StrEnum):
    """The stage of an audit."""

    DRAFT = "DRAFT"
    """Being prepared, without a date."""
    PLANNED = "PLANNED"
    """Has a date and a lead auditor."""
    POSTPONED = "POSTPONED"
    """Will take place later; the new date is open."""
    IN_PROGRESS = "IN_PROGRESS"
    """Being performed."""
    REPORTING = "REPORTING"
    """Performed; the report is being written."""
    COMPLETED = "COMPLETED"
    """The report is finished; findings may still be open."""
    CLOSED = "CLOSED"
    """Every finding is dealt with."""
    CANCELED = "CANCELED"
    """Called off."""


class AuditPart(StrEnum):
    """The role of a person in an audit's team."""

    AUDITOR = "AUDITOR"
    """Asks and judges."""
    OBSERVER = "OBSERVER"
    """Listens and learns."""
    EXPERT = "EXPERT"
    """Advises on technical questions."""


class FindingGrade(StrEnum):
    """How serious a finding is."""

    CONFORMITY = "CONFORMITY"
    """As it should be; worth writing down."""
    OPPORTUNITY = "OPPORTUNITY"
    """Good enough, and could be better."""
    OBSERVATION = "OBSERVATION"
    """Not wrong yet; to be watched."""
    MINOR = "MINOR"
    """A requirement is not met in a single case."""
    MAJOR = "MAJOR"
    """A requirement is not met throughout, or an effect is lost."""
    CRITICAL = "CRITICAL"
    """People or the law are at risk; act at once."""


class FindingStatus(StrEnum):
    """The stage of a finding."""

    OPEN = "OPEN"
    """Nothing is done about it yet."""
    CORRECTED = "CORRECTED"
    """Somebody reported that it is corrected."""
    VERIFIED = "VERIFIED"
    """Somebody else checked that it is."""
    CLOSED = "CLOSED"
    """Nothing is left to do."""


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

# In these statuses, answers and findings are accepted.
WORKING = frozenset({AuditStatus.IN_PROGRESS, AuditStatus.REPORTING})
# From these statuses on, it has a score.
RATED = frozenset({AuditStatus.REPORTING, AuditStatus.COMPLETED, AuditStatus.CLOSED})
OVER = frozenset({AuditStatus.CLOSED, AuditStatus.CANCELED})
ENDED = frozenset({AuditStatus.COMPLETED, AuditStatus.CLOSED, AuditStatus.CANCELED})


def against_reporting(unanswered: Sequence[ChecklistItemInput]) -> list[str]:
    """Return why the audit cannot be reported: every visible item needs an answer, or a reason why it
    does not apply.
    """
    if not unanswered:
        return []
    return [f"These items have no answer yet: {', '.join(item.key for item in unanswered)}."]


def against_completion(
    unanswered: Sequence[ChecklistItemInput], findings: Iterable[AuditFinding]
) -> list[str]:
    """Return why the audit cannot be completed: every serious finding also needs an action and its date."""
    lacking = sum(
        finding.grade in GRAVE and not (finding.has_correction and finding.due_on is not None)
        for finding in findings
    )
    missing = [f"Major or critical findings without correction and due date: {lacking}."] if lacking else []
    return against_reporting(unanswered) + missing


def against_closing(findings: Iterable[AuditFinding]) -> list[str]:
    """Return why the audit cannot be closed: a finding is still open."""
    still_open = sum(finding.status is not FindingStatus.CLOSED for finding in findings)
    return [f"Findings not closed yet: {still_open}."] if still_open else []
