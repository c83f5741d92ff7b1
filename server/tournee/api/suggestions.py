"""What a misspelled name may have meant.

graphql-core measures how far a name is from each that exists, letter by letter; with our 600 types
that takes a tenth of a second for each mistake. Most names can be ruled out by their letters alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from importlib import import_module
from typing import Any

from graphql.pyutils.suggestion_list import LexicalDistance

MOST_EDITS = 2
MOST_LETTERS = 50
MOST_MEASURED = 10

# The modules that import the function, and so hold their own reference to it.
_USERS = (
    "type.definition",
    "utilities.validate_input_value",
    "validation.rules.fields_on_correct_type",
    "validation.rules.known_argument_names",
    "validation.rules.known_type_names",
)


def similar(name: str, options: Collection[str]) -> list[str]:
    """Return the options that differ from a name by a letter or two, the nearest first."""
    if len(name) > MOST_LETTERS:
        return []
    letters = Counter(name.lower())
    edits = min(MOST_EDITS, len(name) // 3)
    near = [one for one in options if abs(len(one) - len(name)) <= edits and _apart(letters, one) <= edits]
    measure = LexicalDistance(name).measure
    measured = [(measure(one, edits), one) for one in sorted(near)[:MOST_MEASURED]]
    return [one for _, one in sorted((distance, one) for distance, one in measured if distance is not None)]


def _apart(letters: Counter[str], option: str) -> int:
    """At least so many edits lie between a word of these letters and another."""
    others = Counter(option.lower())
    return max((letters - others).total(), (others - letters).total())


for _name in _USERS:
    _module: Any = import_module(f"graphql.{_name}")
    _module.suggestion_list = similar
