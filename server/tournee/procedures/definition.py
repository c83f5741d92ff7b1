"""What a checklist asks: its items, when each is shown, and what an answer is worth.

No database. A version stores its items in the wire form of their input.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Any, Protocol
from uuid import UUID

from tournee.kernel.fields import camel
from tournee.kernel.inputs import Limits
from tournee.kernel.values import wire_value


class ItemKind(StrEnum):
    """What kind of answer an item asks for."""

    CHECK = "CHECK"
    """Yes or no; yes passes."""
    TEXT = "TEXT"
    """Words; never judged."""
    NUMBER = "NUMBER"
    """A measured value, judged by the item's limits."""
    CHOICE = "CHOICE"
    """One or several of the given choices."""
    PHOTO = "PHOTO"
    """One or more pictures."""
    SIGNATURE = "SIGNATURE"
    """A signature on the screen."""


class ItemResult(StrEnum):
    """The result of an answer; NA if it does not apply or is not judged."""

    PASS = "PASS"  # noqa: S105 - no password
    """The answer is as good as it has to be."""
    FAIL = "FAIL"
    """The answer is not good enough."""
    NA = "NA"
    """The item did not apply, or its kind is not judged."""


class RunResult(StrEnum):
    """The result of a whole checklist; NA if nothing in it could be judged."""

    PASS = "PASS"  # noqa: S105 - no password
    """Nothing that was judged failed."""
    FAIL = "FAIL"
    """A critical item failed, or nothing passed."""
    PARTIAL = "PARTIAL"
    """Some items passed and some failed, none of those critical."""
    NA = "NA"
    """Nothing in it could be judged."""


@dataclass(frozen=True)
class ChecklistConditionInput:
    """Shows an item only if an earlier one has a certain answer; exactly one of the three tests.

    Values are written as text: `true` and `false` for a check, digits for a number.
    """

    item_key: Annotated[str, Limits(length=60)]
    """The earlier item whose answer decides."""
    equals: Annotated[str | None, Limits(length=200)] = None
    """Show the item if the answer is this."""
    not_equals: Annotated[str | None, Limits(length=200)] = None
    """Show the item if there is an answer and it is not this."""
    in_: list[Annotated[str, Limits(length=200)]] | None = None
    """Show the item if the answer is one of these."""


@dataclass(frozen=True)
class ChecklistItemInput:
    """One item of a checklist. Its key stays the same from version to version.

    `minimum` and `maximum` do not refuse an answer: a number outside them fails the item. `choicePoints` says
    what each choice is worth, relative to the highest; 0 fails the item.
    """

    key: Annotated[str, Limits(length=60)]
    """Names the item in answers and in later versions; unique within the version."""
    prompt: Annotated[str, Limits(length=500)]
    """The question or instruction that people read."""
    kind: ItemKind
    """Decides which value an answer has."""
    section: Annotated[str | None, Limits(length=200)] = None
    """The heading it stands under; null for none."""
    help: Annotated[str | None, Limits(length=2000)] = None
    """How to check or measure it; null if the prompt is enough."""
    unit: Annotated[str | None, Limits(length=20)] = None
    """For numbers, such as `bar`; null for other kinds."""
    minimum: float | None = None
    """The least number that passes; null for no lower limit."""
    maximum: float | None = None
    """The greatest number that passes; null for no upper limit."""
    choices: list[Annotated[str, Limits(length=200)]] = field(default_factory=list)
    """For items of kind CHOICE: the texts to choose from."""
    choice_points: list[Annotated[int, Limits(minimum=0, maximum=1000)]] = field(default_factory=list)
    """One number for each choice, in the same order. Empty if the choices are not judged."""
    multiple: bool = False
    """Whether more than one choice may be taken."""
    required: bool = False
    """Whether the run can't be completed without an answer, if the item is shown."""
    condition: ChecklistConditionInput | None = None
    """When to show the item; null means always."""
    weight: Annotated[int, Limits(minimum=0, maximum=1000)] = 1
    """How much the item counts in a score; 0 leaves it out."""
    critical: bool = False
    """Whether failing this item fails the whole checklist."""
    clause_id: UUID | None = None
    """The clause of a standard that it checks; null for none."""
    allows_not_applicable: bool = False
    """Whether an answer may say that the item does not apply."""

    @property
    def judged(self) -> bool:
        """Return whether an answer can pass or fail at all."""
        if self.kind is ItemKind.NUMBER:
            return self.minimum is not None or self.maximum is not None
        return self.kind is ItemKind.CHECK or bool(self.choice_points)


@dataclass(frozen=True, kw_only=True)
class Given:
    """An answer as it was sent: a value that fits the item's kind, or a reason why the item does not
    apply.
    """

    checked: bool | None = None
    """For items of kind CHECK: whether it is as it should be."""
    text: str | None = None
    """For items of kind TEXT."""
    number: float | None = None
    """For items of kind NUMBER, in the item's unit."""
    choices: list[str] = field(default_factory=list)
    """For items of kind CHOICE: texts from the item's choices; several only if it allows that."""
    files: list[UUID] = field(default_factory=list)
    """For items of kind PHOTO and SIGNATURE: the ids of the files, made by the device."""
    not_applicable: bool = False
    """Say that the item does not apply here. Only for items that allow it, and without a value."""
    reason: Annotated[str | None, Limits(length=1000)] = None
    """Why the item does not apply. Needed with `notApplicable` only."""


class Answered(Protocol):
    """What is read from an answer, sent or stored."""

    @property
    def checked(self) -> bool | None: ...
    @property
    def text(self) -> str | None: ...
    @property
    def number(self) -> float | None: ...
    @property
    def choices(self) -> list[str]: ...
    @property
    def not_applicable(self) -> bool: ...


Answers = Mapping[str, Answered]

# -- storing -------------------------------------------------------------------------------------


def stored(items: Sequence[ChecklistItemInput]) -> list[dict[str, Any]]:
    """Return items as a version stores them: in wire form, with every field."""
    return [_wire(item) for item in items]


def _wire(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {camel(own.name): _wire(getattr(value, own.name)) for own in dataclasses.fields(value)}
    if isinstance(value, list):
        return list(value)
    return wire_value(value)


def read(items: Iterable[Mapping[str, Any]]) -> list[ChecklistItemInput]:
    """Return the items that a version stores."""
    return [_read(item) for item in items]


def _read(item: Mapping[str, Any]) -> ChecklistItemInput:
    values = {name: item[wire] for wire, name in _ITEM.items() if wire in item}
    values["kind"] = ItemKind(values["kind"])
    if values.get("clause_id") is not None:
        values["clause_id"] = UUID(values["clause_id"])
    if values.get("condition") is not None:
        values["condition"] = ChecklistConditionInput(
            **{_CONDITION[wire]: value for wire, value in values["condition"].items()}
        )
    return ChecklistItemInput(**values)


_ITEM = {camel(own.name): own.name for own in dataclasses.fields(ChecklistItemInput)}
_CONDITION = {camel(own.name): own.name for own in dataclasses.fields(ChecklistConditionInput)}

# -- which items are shown -----------------------------------------------------------------------


def comparable(kind: ItemKind, text: str) -> Any:
    """Return the text of a condition as a value of the tested item; raises ValueError if it is not one."""
    if kind is ItemKind.NUMBER:
        return float(text)
    if kind is ItemKind.CHECK:
        return {"true": True, "false": False}[text]
    return text


def _values(item: ChecklistItemInput, answer: Answered) -> list[Any]:
    if answer.not_applicable:
        return []
    if item.kind is ItemKind.CHOICE:
        return list(answer.choices)
    value = {
        ItemKind.CHECK: answer.checked,
        ItemKind.NUMBER: answer.number,
        ItemKind.TEXT: answer.text,
    }.get(item.kind)
    return [] if value is None else [value]


def _holds(condition: ChecklistConditionInput, item: ChecklistItemInput, answer: Answered | None) -> bool:
    values = [] if answer is None else _values(item, answer)
    if not values:
        return False
    if condition.not_equals is not None:
        return comparable(item.kind, condition.not_equals) not in values
    wanted = [condition.equals] if condition.equals is not None else condition.in_ or []
    return any(comparable(item.kind, text) in values for text in wanted)


def shown(items: Sequence[ChecklistItemInput], answers: Answers) -> list[ChecklistItemInput]:
    """Return the items whose conditions hold. A hidden item counts as unanswered for later ones."""
    found: dict[str, ChecklistItemInput] = {}
    for item in items:
        condition = item.condition
        tested = None if condition is None else found.get(condition.item_key)
        if condition is None or (
            tested is not None and _holds(condition, tested, answers.get(condition.item_key))
        ):
            found[item.key] = item
    return list(found.values())


def unanswered(
    items: Sequence[ChecklistItemInput], answers: Answers, *, required_only: bool = True
) -> list[ChecklistItemInput]:
    """Return the items that are shown and have no answer yet."""
    return [
        item
        for item in shown(items, answers)
        if item.key not in answers and (item.required or not required_only)
    ]


# -- answers -------------------------------------------------------------------------------------


def points(item: ChecklistItemInput, answer: Answered) -> Fraction | None:
    """Return what an answer is worth, from 0 to 1; None if it is not judged."""
    if answer.not_applicable or not item.judged:
        return None
    if item.kind is ItemKind.CHECK:
        return Fraction(answer.checked is True)
    if item.kind is ItemKind.NUMBER:
        number = answer.number
        low, high = item.minimum, item.maximum
        return Fraction(
            number is not None and (low is None or number >= low) and (high is None or number <= high)
        )
    worth = dict(zip(item.choices, item.choice_points, strict=True))
    return Fraction(sum(worth[choice] for choice in answer.choices), max(item.choice_points))


def judge(item: ChecklistItemInput, answer: Answered) -> ItemResult:
    """Return whether an answer passes its item."""
    worth = points(item, answer)
    if worth is None:
        return ItemResult.NA
    return ItemResult.PASS if worth > 0 else ItemResult.FAIL


def outcome(items: Sequence[ChecklistItemInput], answers: Answers) -> RunResult:
    """Return FAIL if a critical item failed or none passed, PARTIAL if some passed and some failed."""
    results = [
        (item, judge(item, answers[item.key])) for item in shown(items, answers) if item.key in answers
    ]
    failed = [item for item, result in results if result is ItemResult.FAIL]
    passed = any(result is ItemResult.PASS for _, result in results)
    if not failed:
        return RunResult.PASS if passed else RunResult.NA
    return RunResult.PARTIAL if passed and not any(item.critical for item in failed) else RunResult.FAIL
