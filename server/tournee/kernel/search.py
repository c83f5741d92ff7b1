"""Search terms: the texts by which `search` finds a record, made of its fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tournee.kernel.fields import camel
from tournee.kernel.folding import fold
from tournee.kernel.phones import national

# Texts that begin with the same so many characters are one term.
LONGEST = 40
_WORD = re.compile(r"[^\W_]+")

# Whether it is a whole value, and its text.
Term = tuple[bool, str]


@dataclass(frozen=True)
class Searched:
    """The fields by which an entity is searched.

    `wholes` are names and numbers: they are found by each word, and by how the whole value begins, with or
    without its spaces and signs. `words` are found by each word alone. Results show the fields of `title`.
    """

    title: tuple[str, ...]
    wholes: tuple[str, ...]
    words: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()

    @cached_property
    def wires(self) -> frozenset[str]:
        """The names in the log of everything that the terms of a record follow from."""
        return frozenset(map(camel, (*self.wholes, *self.words, *self.phones, "deleted")))

    def terms(self, value: Callable[[str], str | None]) -> set[Term]:
        """Return the terms of a record whose fields have these values.

        The first word of a whole value is no term: the value begins with it.
        """
        found = {(True, national(text)[:LONGEST]) for text in map(value, self.phones) if text}
        first: set[str] = set()
        others: set[str] = set()
        for parts in map(words, filter(None, map(value, self.wholes))):
            if parts:
                found.add((True, "".join(parts)[:LONGEST]))
                first.add(parts[0])
                others.update(parts)
        for text in map(value, self.words):
            if text:
                others.update(words(text))
        found.discard((True, ""))
        return found | {(False, word) for word in others - first}

    def titled(self, row: Any) -> str:
        """Return what a list of results shows for the record."""
        return " ".join(str(getattr(row, name)) for name in self.title)


def words(text: str) -> list[str]:
    """Return the words of a text as terms."""
    # Folding makes some texts longer: `ß` becomes `ss`.
    plain = fold(text) or ""
    found: list[str] = _WORD.findall(plain)
    return [word[:LONGEST] for word in found] if len(plain) > LONGEST else found
