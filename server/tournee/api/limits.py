"""How much one document may ask. Fragments are measured once each, however often they are spread:
a chain of fragments that spread the next one twice is 2^n fields in a few hundred bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)

from tournee.api.errors import coded

MOST_TOKENS = 4_000
MOST_DEPTH = 12
MOST_ALIASES = 30
MOST_DIRECTIVES = 50
MOST_NESTING = 32


class _Measure:
    """Depth, aliases and directives of selections, with each fragment's remembered."""

    def __init__(self, document: DocumentNode) -> None:
        self.fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self.known: dict[str, tuple[int, int, int]] = {}

    def of(self, selections: SelectionSetNode | None) -> tuple[int, int, int]:
        depth = aliases = directives = 0
        for node in selections.selections if selections else ():
            below, more_aliases, more_directives = self._node(node)
            depth = max(depth, below)
            aliases += more_aliases
            directives += more_directives
        return depth, aliases, directives

    def _node(self, node: SelectionNode) -> tuple[int, int, int]:
        directives = len(node.directives or ())
        if isinstance(node, FieldNode):
            # Introspection has limits of its own.
            deeper = 0 if node.name.value.startswith("__") else 1
            depth, aliases, inside = self.of(node.selection_set if deeper else None)
            return depth + deeper, aliases + (node.alias is not None), directives + inside
        if isinstance(node, FragmentSpreadNode):
            depth, aliases, inside = self._fragment(node.name.value)
        elif isinstance(node, InlineFragmentNode):
            depth, aliases, inside = self.of(node.selection_set)
        else:
            depth, aliases, inside = 0, 0, 0
        return depth, aliases, directives + inside

    def _fragment(self, name: str) -> tuple[int, int, int]:
        if name not in self.known:
            # Unknown names and cycles are for validation to report.
            self.known[name] = (0, 0, 0)
            if name in self.fragments:
                self.known[name] = self.of(self.fragments[name].selection_set)
        return self.known[name]


_LIMITS: tuple[tuple[str, int, Callable[[tuple[int, int, int]], int]], ...] = (
    ("is {} levels deep", MOST_DEPTH, lambda measure: measure[0]),
    ("has {} aliases", MOST_ALIASES, lambda measure: measure[1]),
    ("has {} directives", MOST_DIRECTIVES, lambda measure: measure[2]),
)


def exceeded(document: DocumentNode) -> list[GraphQLError]:
    """An error for each limit that an operation of the document passes."""
    return list(_exceeded(document))


def _exceeded(document: DocumentNode) -> Iterator[GraphQLError]:
    measure = _Measure(document)
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            depth, aliases, directives = measure.of(node.selection_set)
            found = (depth, aliases, directives + len(node.directives or ()))
            for text, most, part in _LIMITS:
                if part(found) > most:
                    yield coded(f"An operation {text.format('more than ' + str(most))}.", "LIMIT_EXCEEDED")


def nested_too_deeply(value: Any) -> bool:
    """Whether variables are nested deeper than anything here reads; measured without recursion."""
    level = [value]
    for _ in range(MOST_NESTING):
        level = [
            inner
            for one in level
            if isinstance(one, (dict, list))
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return any(isinstance(one, (dict, list)) for one in level)
