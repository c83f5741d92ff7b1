"""How much one document may ask. Fragments are measured once each, however often they are spread:
a chain of fragments that spread the next one twice is 2^n fields in a few hundred bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

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
from graphql.validation.rules import overlapping_fields_can_be_merged

from tournee.api.errors import coded

# Reading a text takes time before the first token is counted: comments and strings can be long.
MOST_CHARACTERS = 100_000
MOST_TOKENS = 4_000
MOST_DEPTH = 12
MOST_ALIASES = 30
MOST_DIRECTIVES = 50
MOST_NESTING = 32

# Fields that share a name are compared with one another. graphql-core stops after 500,000 steps,
# which take a second; a document that people write needs some hundred.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 20_000


class Size(NamedTuple):
    """How large selections are."""

    depth: int = 0
    aliases: int = 0
    directives: int = 0

    def beside(self, other: Size) -> Size:
        return Size(
            max(self.depth, other.depth),
            self.aliases + other.aliases,
            self.directives + other.directives,
        )


class _Measure:
    """Sizes of selections, with each fragment's remembered."""

    def __init__(self, document: DocumentNode) -> None:
        self.fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self.known: dict[str, Size] = {}

    def of(self, selections: SelectionSetNode | None) -> Size:
        size = Size()
        for node in selections.selections if selections else ():
            inside = self._node(node)
            size = size.beside(inside._replace(directives=inside.directives + len(node.directives or ())))
        return size

    def _node(self, node: SelectionNode) -> Size:
        if isinstance(node, FieldNode):
            return self._field(node)
        if isinstance(node, FragmentSpreadNode):
            return self._fragment(node.name.value)
        return self.of(node.selection_set) if isinstance(node, InlineFragmentNode) else Size()

    def _field(self, node: FieldNode) -> Size:
        # Introspection has limits of its own.
        inside = Size() if node.name.value.startswith("__") else self.of(node.selection_set)
        aliases = inside.aliases + (node.alias is not None)
        return inside._replace(depth=inside.depth + 1, aliases=aliases)

    def _fragment(self, name: str) -> Size:
        if name not in self.known:
            # Unknown names and cycles are for validation to report.
            self.known[name] = Size()
            if name in self.fragments:
                self.known[name] = self.of(self.fragments[name].selection_set)
        return self.known[name]


_LIMITS: tuple[tuple[str, int, Callable[[Size], int]], ...] = (
    ("levels of depth", MOST_DEPTH, lambda size: size.depth),
    ("aliases", MOST_ALIASES, lambda size: size.aliases),
    ("directives", MOST_DIRECTIVES, lambda size: size.directives),
)


def exceeded(document: DocumentNode) -> list[GraphQLError]:
    """An error for each limit that an operation of the document passes."""
    return list(_exceeded(document))


def _exceeded(document: DocumentNode) -> Iterator[GraphQLError]:
    measure = _Measure(document)
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            size = measure.of(node.selection_set)
            size = size._replace(directives=size.directives + len(node.directives or ()))
            for what, most, part in _LIMITS:
                if part(size) > most:
                    yield coded(f"An operation has at most {most} {what}.", "LIMIT_EXCEEDED")


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
