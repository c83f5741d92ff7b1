"""The score of an audit, in exact fractions; no database."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from tournee.procedures.definition import Answers, ChecklistItemInput, points, shown


class AuditResult(StrEnum):
    """Whether the audit was passed."""

    PASS = "PASS"  # noqa: S105 - no password
    """The score reached the percentage to pass, and no critical item failed."""
    FAIL = "FAIL"
    """The score did not reach it, or a critical item failed."""


@dataclass(frozen=True)
class Score:
    """The weighted points and their possible maximum, over the items that count."""

    points: Fraction
    maximum: int
    critical_failed: bool

    @property
    def percent(self) -> float | None:
        """Return the percentage, rounded half up to two digits; None if nothing was judged, rather than 0
        or 100.
        """
        if not self.maximum:
            return None
        return math.floor(self.points / self.maximum * 10_000 + Fraction(1, 2)) / 100

    def result(self, passing_percent: int) -> AuditResult | None:
        """Return PASS from the passing mark on, by the exact value; a failed critical item fails the
        whole audit.
        """
        if self.critical_failed:
            return AuditResult.FAIL
        if not self.maximum:
            return None
        passed = self.points * 100 >= passing_percent * self.maximum
        return AuditResult.PASS if passed else AuditResult.FAIL


def score(items: Sequence[ChecklistItemInput], answers: Answers) -> Score:
    """Return Σ(points · weight) and Σ(weight). Hidden, unanswered and inapplicable items are in neither
    sum.
    """
    earned, maximum, critical_failed = Fraction(0), 0, False
    for item in shown(items, answers):
        answer = answers.get(item.key)
        worth = None if answer is None else points(item, answer)
        if worth is None:
            continue
        earned += worth * item.weight
        maximum += item.weight
        critical_failed = critical_failed or (item.critical and worth == 0)
    return Score(earned, maximum, critical_failed)
