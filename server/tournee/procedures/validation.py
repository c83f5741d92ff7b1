"""Whether a checklist's definition is sound: checked when a draft is saved, and again when it is
published.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from tournee.kernel.errors import Invalid
from tournee.procedures.definition import (
    ChecklistConditionInput,
    ChecklistItemInput,
    ItemKind,
    comparable,
)

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def check_definition(items: Sequence[ChecklistItemInput]) -> None:
    """Raise Invalid naming the first item that is wrong, as `items.3.condition`."""
    earlier: dict[str, ChecklistItemInput] = {}
    for number, item in enumerate(items):
        path = f"items.{number}"
        if not _KEY.fullmatch(item.key):
            raise Invalid("A key may hold only letters, digits, `_`, `.` and `-`.", f"{path}.key")
        if item.key in earlier:
            raise Invalid(f"The key {item.key} is used twice.", f"{path}.key")
        if not item.prompt.strip():
            raise Invalid("An item needs a prompt.", f"{path}.prompt")
        _check_limits(item, path)
        _check_choices(item, path)
        if item.critical and not item.judged:
            raise Invalid("Only an item that can fail can be critical.", f"{path}.critical")
        if item.condition is not None:
            _check_condition(item.condition, earlier, f"{path}.condition")
        earlier[item.key] = item


def _check_limits(item: ChecklistItemInput, path: str) -> None:
    for name in ("unit", "minimum", "maximum"):
        if item.kind is not ItemKind.NUMBER and getattr(item, name) is not None:
            raise Invalid(f"Only a number can have a {name}.", f"{path}.{name}")
    if item.minimum is not None and item.maximum is not None and item.minimum > item.maximum:
        raise Invalid("The minimum is greater than the maximum.", f"{path}.maximum")


def _check_choices(item: ChecklistItemInput, path: str) -> None:
    if item.kind is not ItemKind.CHOICE:
        for name, wire in (
            ("choices", "choices"),
            ("choice_points", "choicePoints"),
            ("multiple", "multiple"),
        ):
            if getattr(item, name):
                raise Invalid("Only an item of kind CHOICE can have choices.", f"{path}.{wire}")
        return
    if not item.choices or len(set(item.choices)) < len(item.choices):
        raise Invalid("An item of kind CHOICE needs choices, each only once.", f"{path}.choices")
    if any(not choice.strip() for choice in item.choices):
        raise Invalid("A choice must not be blank.", f"{path}.choices")
    if item.choice_points:
        _check_choice_points(item, f"{path}.choicePoints")


def _check_choice_points(item: ChecklistItemInput, path: str) -> None:
    if item.multiple:
        raise Invalid("Only an item with a single choice can have points.", path)
    if len(item.choice_points) != len(item.choices):
        raise Invalid("Give points for every choice or for none.", path)
    if max(item.choice_points) == 0:
        raise Invalid("At least one choice must be worth something.", path)


def _check_condition(
    condition: ChecklistConditionInput, earlier: Mapping[str, ChecklistItemInput], path: str
) -> None:
    tested = earlier.get(condition.item_key)
    if tested is None:
        raise Invalid("A condition must test an earlier item.", f"{path}.itemKey")
    if tested.kind in (ItemKind.PHOTO, ItemKind.SIGNATURE):
        raise Invalid("Photos and signatures cannot be tested.", f"{path}.itemKey")
    tests = [condition.equals, condition.not_equals, condition.in_ or None]
    if sum(test is not None for test in tests) != 1 or condition.in_ == []:
        raise Invalid("Give exactly one of equals, notEquals and in.", path)
    for text in condition.in_ or [condition.equals or condition.not_equals or ""]:
        _check_comparand(tested, text, path)


def _check_comparand(tested: ChecklistItemInput, text: str, path: str) -> None:
    try:
        value = comparable(tested.kind, text)
    except (ValueError, KeyError):
        raise Invalid(f"`{text}` is not an answer to {tested.key}.", path) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise Invalid(f"`{text}` is not an answer to {tested.key}.", path)
    if tested.kind is ItemKind.CHOICE and value not in tested.choices:
        raise Invalid(f"`{text}` is not an answer to {tested.key}.", path)
