"""The score, without a database."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from tests.support.field import items
from tournee.procedures.definition import Given
from tournee.quality.score import AuditResult, score


def check(key: str, weight: int = 1, **more: Any) -> dict[str, Any]:
    return {"key": key, "kind": "CHECK", "weight": weight, "allowsNotApplicable": True, **more}


def graded(key: str, weight: int = 1, **more: Any) -> dict[str, Any]:
    choices = {"choices": ["all", "most", "none"], "choicePoints": [3, 1, 0]}
    return {"key": key, "kind": "CHOICE", "weight": weight, **choices, **more}


YES, NO, NA = Given(checked=True), Given(checked=False), Given(not_applicable=True, reason="gone")
AFTER_YES = {"condition": {"itemKey": "a", "equals": "true"}}


@pytest.mark.parametrize(
    ("definition", "answers", "points", "maximum", "percent"),
    [
        ([check("a"), check("b")], {"a": YES, "b": NO}, 1, 2, 50.0),
        ([check("a", 3), check("b")], {"a": YES, "b": NO}, 3, 4, 75.0),
        # Not applicable: in neither sum, so it counts neither as zero nor as full marks.
        ([check("a", 3), check("b")], {"a": NA, "b": NO}, 0, 1, 0.0),
        ([check("a", 3), check("b")], {"a": NA, "b": YES}, 1, 1, 100.0),
        ([check("a"), check("b")], {"a": NA, "b": NA}, 0, 0, None),
        # A weight of 0 counts nowhere; with only such weights there is nothing to divide by.
        ([check("a", 0), check("b")], {"a": NO, "b": YES}, 1, 1, 100.0),
        ([check("a", 0), check("b", 0)], {"a": YES, "b": NO}, 0, 0, None),
        # Hidden: an answer from before the condition ceased to hold does not count.
        ([check("a"), check("b", 9, **AFTER_YES)], {"a": NO, "b": YES}, 0, 1, 0.0),
        ([check("a"), check("b", 9, **AFTER_YES)], {"a": YES, "b": YES}, 10, 10, 100.0),
        ([check("a"), check("b", 9, **AFTER_YES)], {"a": NA, "b": YES}, 0, 0, None),
        # Unanswered, so there is nothing to score.
        ([check("a"), check("b")], {"a": YES}, 1, 1, 100.0),
        ([], {}, 0, 0, None),
        ([{"key": "t", "kind": "TEXT"}], {"t": Given(text="x")}, 0, 0, None),
        ([{"key": "n", "kind": "NUMBER"}], {"n": Given(number=1)}, 0, 0, None),
        ([{"key": "n", "kind": "NUMBER", "maximum": 6}], {"n": Given(number=6.1)}, 0, 1, 0.0),
        # A choice counts relative to the best one; halves round up, never to even.
        ([graded("c", 2)], {"c": Given(choices=["most"])}, Fraction(2, 3), 2, 33.33),
        ([graded("c"), check("a")], {"c": Given(choices=["most"]), "a": YES}, Fraction(4, 3), 2, 66.67),
        ([check("a", 1), check("b", 799)], {"a": YES, "b": NO}, 1, 800, 0.13),
        ([check("a", 5), check("b", 795)], {"a": YES, "b": NO}, 5, 800, 0.63),
    ],
)
def test_the_score_counts_only_applicable_items(
    definition: list[dict[str, Any]],
    answers: dict[str, Given],
    points: Fraction | int,
    maximum: int,
    percent: float | None,
) -> None:
    found = score(items(*definition), answers)
    assert (found.points, found.maximum, found.percent) == (points, maximum, percent)


@pytest.mark.parametrize(
    ("definition", "answers", "mark", "expected"),
    [
        ([check("a", 4), check("b")], {"a": YES, "b": NO}, 80, "PASS"),
        ([check("a", 4), check("b")], {"a": YES, "b": NO}, 81, "FAIL"),
        ([check("a")], {"a": NO}, 0, "PASS"),
        ([check("a")], {"a": NA}, 0, None),
        ([], {}, 80, None),
        # The exact value decides: 2/3 is shown as 66.67 and does not reach 67.
        ([check("a", 2), check("b")], {"a": YES, "b": NO}, 67, "FAIL"),
        # A failed critical item outweighs everything, even with no weight of its own.
        ([check("a", 99), check("b", critical=True)], {"a": YES, "b": NO}, 80, "FAIL"),
        ([check("a", 99), check("b", 0, critical=True)], {"a": YES, "b": NO}, 0, "FAIL"),
        ([check("b", 0, critical=True)], {"b": NO}, 0, "FAIL"),
        ([check("a"), graded("c", critical=True)], {"a": YES, "c": Given(choices=["none"])}, 0, "FAIL"),
        # Except when it does not apply, is hidden, was not answered, or earned points.
        ([check("a"), check("b", critical=True)], {"a": YES, "b": NA}, 80, "PASS"),
        ([check("a"), check("b", critical=True, **AFTER_YES)], {"a": NO, "b": NO}, 0, "PASS"),
        ([check("a"), check("b", critical=True)], {"a": YES}, 80, "PASS"),
        ([check("a"), graded("c", critical=True)], {"a": YES, "c": Given(choices=["most"])}, 50, "PASS"),
    ],
)
def test_the_result_follows_the_score_and_the_critical_items(
    definition: list[dict[str, Any]], answers: dict[str, Given], mark: int, expected: str | None
) -> None:
    found = score(items(*definition), answers).result(mark)
    assert found == (None if expected is None else AuditResult(expected))
