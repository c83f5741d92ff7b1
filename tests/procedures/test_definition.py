"""Items, their conditions and valid answers, without a database."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.support.field import items
from tournee.kernel.errors import Invalid
from tournee.procedures.accepting import accept
from tournee.procedures.definition import (
    Given,
    ItemResult,
    RunResult,
    judge,
    outcome,
    read,
    shown,
    stored,
    unanswered,
)
from tournee.procedures.validation import check_definition

CHECK = {"key": "a", "kind": "CHECK"}
NUMBER = {"key": "n", "kind": "NUMBER"}
CHOICE = {"key": "c", "kind": "CHOICE", "choices": ["x", "y", "z"]}


def when(key: str, **test: Any) -> dict[str, Any]:
    return {"key": "b", "kind": "TEXT", "condition": {"itemKey": key, **test}}


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        ([{"key": "a b", "kind": "TEXT"}], "items.0.key"),
        ([{"key": "", "kind": "TEXT"}], "items.0.key"),
        ([CHECK, CHECK], "items.1.key"),
        ([{**CHECK, "prompt": " "}], "items.0.prompt"),
        ([{**CHECK, "minimum": 1}], "items.0.minimum"),
        ([{**CHECK, "unit": "bar"}], "items.0.unit"),
        ([{**NUMBER, "minimum": 3, "maximum": 2}], "items.0.maximum"),
        ([{**CHECK, "choices": ["x"]}], "items.0.choices"),
        ([{**CHECK, "multiple": True}], "items.0.multiple"),
        ([{"key": "c", "kind": "CHOICE"}], "items.0.choices"),
        ([{**CHOICE, "choices": ["x", "x"]}], "items.0.choices"),
        ([{**CHOICE, "choices": ["x", " "]}], "items.0.choices"),
        ([{**CHOICE, "choicePoints": [1]}], "items.0.choicePoints"),
        ([{**CHOICE, "choicePoints": [0, 0, 0]}], "items.0.choicePoints"),
        ([{**CHOICE, "choicePoints": [1, 2, 3], "multiple": True}], "items.0.choicePoints"),
        ([{"key": "t", "kind": "TEXT", "critical": True}], "items.0.critical"),
        ([{**NUMBER, "critical": True}], "items.0.critical"),
        ([when("b", equals="x")], "items.0.condition.itemKey"),
        ([when("later", equals="x"), {"key": "later", "kind": "TEXT"}], "items.0.condition.itemKey"),
        (
            [
                {"key": "p", "kind": "CHECK", "condition": {"itemKey": "q", "equals": "true"}},
                {"key": "q", "kind": "CHECK", "condition": {"itemKey": "p", "equals": "true"}},
            ],
            "items.0.condition.itemKey",
        ),
        ([{"key": "p", "kind": "PHOTO"}, when("p", equals="x")], "items.1.condition.itemKey"),
        ([CHECK, when("a")], "items.1.condition"),
        ([CHECK, when("a", equals="true", notEquals="false")], "items.1.condition"),
        ([CHECK, {**when("a"), "condition": {"itemKey": "a", "in": []}}], "items.1.condition"),
        ([CHECK, when("a", equals="yes")], "items.1.condition"),
        ([NUMBER, when("n", equals="many")], "items.1.condition"),
        ([NUMBER, when("n", equals="nan")], "items.1.condition"),
        ([CHOICE, when("c", notEquals="w")], "items.1.condition"),
        ([CHOICE, {**when("c"), "condition": {"itemKey": "c", "in": ["x", "w"]}}], "items.1.condition"),
    ],
)
def test_a_bad_definition_is_refused_with_its_path(definition: list[dict[str, Any]], field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check_definition(items(*definition))
    assert refusal.value.field == field


@pytest.mark.parametrize(
    "test",
    [
        {},
        {"equals": "x", "notEquals": "y"},
        {"equals": "x", "in": ["y"]},
        {"notEquals": "x", "in": ["y"]},
        {"equals": "x", "notEquals": "y", "in": ["z"]},
        {"equals": "x", "in": []},
        {"in": []},
    ],
)
def test_a_condition_must_have_exactly_one_test(test: dict[str, Any]) -> None:
    """The tested item is a text, which allows every comparison, so only the number of tests is wrong."""
    with pytest.raises(Invalid, match="exactly one of equals, notEquals and in") as refusal:
        check_definition(items({"key": "t", "kind": "TEXT"}, when("t", **test)))
    assert refusal.value.field == "items.1.condition"


@pytest.mark.parametrize("test", [{"equals": "x"}, {"notEquals": "x"}, {"in": ["x", "y"]}])
def test_a_condition_may_use_any_one_test(test: dict[str, Any]) -> None:
    check_definition(items(CHOICE, when("c", **test)))


@pytest.mark.parametrize("bad", [{"kind": "GUESS"}, {"weight": -1}, {"weight": 1.5}, {"colour": "red"}])
def test_an_unreadable_item_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=r"items\.0"):
        items({**CHECK, **bad})


def test_a_stored_definition_is_read_back_unchanged() -> None:
    made = items(
        {**CHECK, "critical": True, "clauseId": str(uuid4()), "weight": 0},
        {**CHOICE, "choicePoints": [2, 1, 0]},
        {**when("c"), "condition": {"itemKey": "c", "in": ["x", "y"]}},
    )
    check_definition(made)
    assert read(stored(made)) == made
    assert stored(made)[2]["condition"] == {
        "itemKey": "c",
        "equals": None,
        "notEquals": None,
        "in": ["x", "y"],
    }


@pytest.mark.parametrize(
    ("tested", "test", "given", "expected"),
    [
        (CHECK, {"equals": "true"}, Given(checked=True), True),
        (CHECK, {"equals": "true"}, Given(checked=False), False),
        (CHECK, {"notEquals": "true"}, Given(checked=False), True),
        (CHECK, {"equals": "true"}, None, False),
        (CHECK, {"notEquals": "true"}, None, False),
        (CHECK, {"notEquals": "true"}, Given(not_applicable=True, reason="gone"), False),
        (NUMBER, {"equals": "2"}, Given(number=2.0), True),
        (NUMBER, {"in": ["1", "2.50"]}, Given(number=2.5), True),
        (CHOICE, {"equals": "x"}, Given(choices=["y", "x"]), True),
        (CHOICE, {"notEquals": "x"}, Given(choices=["y", "x"]), False),
        (CHOICE, {"in": ["y", "z"]}, Given(choices=["x"]), False),
    ],
)
def test_a_condition_shows_its_item_only_when_it_holds(
    tested: dict[str, Any], test: dict[str, Any], given: Given | None, expected: bool
) -> None:
    made = items(tested, when(tested["key"], **test))
    answers = {} if given is None else {tested["key"]: given}
    assert (made[1] in shown(made, answers)) is expected


def test_an_item_depending_on_a_hidden_item_is_hidden() -> None:
    made = items(
        CHECK,
        {"key": "m", "kind": "CHECK", "condition": {"itemKey": "a", "equals": "true"}, "required": True},
        {"key": "e", "kind": "CHECK", "condition": {"itemKey": "m", "equals": "true"}, "required": True},
    )
    stale = {"a": Given(checked=False), "m": Given(checked=True)}
    assert [item.key for item in shown(made, stale)] == ["a"]
    assert unanswered(made, stale) == []
    assert [item.key for item in unanswered(made, {**stale, "a": Given(checked=True)})] == ["e"]


FILE = uuid4()


@pytest.mark.parametrize(
    ("item", "given", "field"),
    [
        (CHECK, Given(), "checked"),
        (CHECK, Given(text="yes"), "text"),
        (CHECK, Given(checked=True, number=0), "number"),
        (CHECK, Given(checked=True, reason="so"), "reason"),
        (NUMBER, Given(checked=False), "checked"),
        (CHOICE, Given(choices=["w"]), "choices"),
        (CHOICE, Given(choices=["x", "y"]), "choices"),
        ({**CHOICE, "multiple": True}, Given(choices=["x", "x"]), "choices"),
        ({"key": "t", "kind": "TEXT"}, Given(text="  "), "text"),
        ({"key": "s", "kind": "SIGNATURE"}, Given(files=[FILE, uuid4()]), "files"),
        ({"key": "p", "kind": "PHOTO"}, Given(text="photo.jpg"), "text"),
        (CHECK, Given(not_applicable=True, reason="gone"), "notApplicable"),
        ({**CHECK, "allowsNotApplicable": True}, Given(not_applicable=True), "reason"),
        ({**CHECK, "allowsNotApplicable": True}, Given(not_applicable=True, reason=" "), "reason"),
        (
            {**CHECK, "allowsNotApplicable": True},
            Given(not_applicable=True, reason="gone", checked=True),
            "checked",
        ),
    ],
)
def test_an_answer_of_the_wrong_kind_is_refused(item: dict[str, Any], given: Given, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        accept(items(item)[0], given)
    assert refusal.value.field == field


def test_a_valid_answer_sets_its_column_and_clears_the_others() -> None:
    excused = {**CHECK, "allowsNotApplicable": True}
    assert accept(items(excused)[0], Given(checked=False))["checked"] is False
    given = accept(items(excused)[0], Given(not_applicable=True, reason="gone"))
    assert given == {"checked": None, "not_applicable": True, "reason": "gone"}
    for kind in ("PHOTO", "SIGNATURE"):
        assert accept(items({"key": "p", "kind": kind})[0], Given(files=[FILE]))["files"] == [str(FILE)]
    assert accept(items(NUMBER)[0], Given(number=0.0))["number"] == 0.0


LIMITED = {**NUMBER, "minimum": 2, "maximum": 6}
GRADED = {**CHOICE, "choicePoints": [2, 1, 0]}


@pytest.mark.parametrize(
    ("item", "given", "expected"),
    [
        (CHECK, Given(checked=True), "PASS"),
        (CHECK, Given(checked=False), "FAIL"),
        (LIMITED, Given(number=2), "PASS"),
        (LIMITED, Given(number=6), "PASS"),
        (LIMITED, Given(number=1.999), "FAIL"),
        (LIMITED, Given(number=6.001), "FAIL"),
        ({**NUMBER, "minimum": 0}, Given(number=-1), "FAIL"),
        ({**NUMBER, "maximum": 0}, Given(number=-1), "PASS"),
        (NUMBER, Given(number=1e9), "NA"),
        (GRADED, Given(choices=["x"]), "PASS"),
        (GRADED, Given(choices=["y"]), "PASS"),
        (GRADED, Given(choices=["z"]), "FAIL"),
        (CHOICE, Given(choices=["z"]), "NA"),
        (CHECK, Given(not_applicable=True), "NA"),
        ({"key": "t", "kind": "TEXT"}, Given(text="x"), "NA"),
    ],
)
def test_an_answer_passes_or_fails_by_its_items_rules(
    item: dict[str, Any], given: Given, expected: str
) -> None:
    assert judge(items(item)[0], given) is ItemResult(expected)


@pytest.mark.parametrize(
    ("first", "second", "critical", "expected"),
    [
        (True, True, False, "PASS"),
        (True, False, False, "PARTIAL"),
        (True, False, True, "FAIL"),
        (False, False, False, "FAIL"),
        (True, None, True, "PASS"),
        (None, None, False, "NA"),
    ],
)
def test_a_checklists_result_follows_from_its_answers(
    first: bool | None, second: bool | None, critical: bool, expected: str
) -> None:
    made = items(CHECK, {"key": "z", "kind": "CHECK", "critical": critical})
    given = {key: Given(checked=value) for key, value in (("a", first), ("z", second)) if value is not None}
    assert outcome(made, given) is RunResult(expected)
