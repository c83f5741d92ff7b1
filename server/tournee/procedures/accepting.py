"""Which answers fit an item; no database."""

from __future__ import annotations

from typing import Any

from tournee.kernel.errors import Invalid
from tournee.procedures.definition import ChecklistItemInput, Given, ItemKind

_COLUMN = {
    ItemKind.CHECK: "checked",
    ItemKind.TEXT: "text",
    ItemKind.NUMBER: "number",
    ItemKind.CHOICE: "choices",
    ItemKind.PHOTO: "files",
    ItemKind.SIGNATURE: "files",
}
_COLUMNS = ("checked", "text", "number", "choices", "files")


def accept(item: ChecklistItemInput, given: Given) -> dict[str, Any]:
    """Return the columns of an answer that fits the item; raises Invalid naming what does not."""
    own = _COLUMN[item.kind]
    named = [name for name in _COLUMNS if getattr(given, name) not in (None, [])]
    if given.not_applicable:
        _check_not_applicable(item, given, named)
        return {own: _EMPTY.get(own), "not_applicable": True, "reason": given.reason}
    if given.reason is not None:
        raise Invalid("Give a reason only if the item does not apply.", "reason")
    for name in named:
        if name != own:
            raise Invalid(f"Answer {item.key} with `{own}`.", name)
    if not named:
        raise Invalid(f"{item.key} needs a value.", own)
    _check_value(item, given)
    value = [str(id) for id in given.files] if own == "files" else getattr(given, own)
    return {own: value, "not_applicable": False, "reason": None}


_EMPTY: dict[str, list[str]] = {"choices": [], "files": []}


def _check_not_applicable(item: ChecklistItemInput, given: Given, named: list[str]) -> None:
    if not item.allows_not_applicable:
        raise Invalid(f"{item.key} always applies.", "notApplicable")
    if named:
        raise Invalid("An item that does not apply has no value.", named[0])
    if not (given.reason or "").strip():
        raise Invalid("Say why it does not apply.", "reason")


def _check_value(item: ChecklistItemInput, given: Given) -> None:
    if item.kind is ItemKind.TEXT and not (given.text or "").strip():
        raise Invalid(f"{item.key} needs a text.", "text")
    if item.kind is ItemKind.SIGNATURE and len(given.files) != 1:
        raise Invalid("A signature needs exactly one file.", "files")
    if item.kind is ItemKind.CHOICE:
        if not set(given.choices) <= set(item.choices):
            raise Invalid(f"{item.key} offers these choices: {', '.join(item.choices)}.", "choices")
        if len(given.choices) > (len(set(given.choices)) if item.multiple else 1):
            raise Invalid("Name each choice once, and only one unless the item allows several.", "choices")
