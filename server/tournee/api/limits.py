"""Limits: what one request may ask, counted over the parsed document and its variables before anything is
validated, coerced or run.

Each definition is walked once. Fragments are then added up from their own counts, however often they are
spread: a chain of fragments that each spread the next one twice means 2^n fields in a few hundred bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    TokenKind,
    ValueNode,
    VariableNode,
)
from graphql.validation.rules import overlapping_fields_can_be_merged

from tournee.api.errors import coded

# Limit of a request's body or a socket's message: parsing JSON takes time before anything can be counted.
MOST_BYTES = 1024 * 1024
# Reading a document takes time before the first token is counted: comments and strings can be long.
MOST_CHARACTERS = 30_000
TOO_LONG = f"A document has at most {MOST_CHARACTERS} characters; send long values as variables."
MOST_TOKENS = 2_000
MOST_LETTERS = 100
MOST_DEPTH = 12
MOST_NESTING = 50
MOST_FIELDS = 1_000
MOST_ALIASES = 30
MOST_DIRECTIVES = 50
MOST_VARIABLES = 100
MOST_VALUES = 5_000
MOST_VARIABLE_NESTING = 32

# Fields that share a name are compared with one another. graphql-core stops after 500,000 steps,
# which take a second; a document that people write needs some hundred.
overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 10_000


class Size(NamedTuple):
    """How much a definition asks, including its fragments.

    `depth` counts fields inside fields, `nesting` anything inside anything else. `uses` says how often each
    variable is used.
    """

    depth: int = 0
    nesting: int = 0
    fields: int = 0
    aliases: int = 0
    directives: int = 0
    values: int = 0
    uses: Mapping[str, int] = {}

    def around(self, inner: Size, depth: int, nesting: int) -> Size:
        """Return the size of something that contains `inner` below so many fields and brackets: the greater
        depth and nesting, and the sum of everything else.
        """
        return Size(
            max(self.depth, depth + inner.depth),
            max(self.nesting, nesting + inner.nesting),
            self.fields + inner.fields,
            self.aliases + inner.aliases,
            self.directives + inner.directives,
            self.values + inner.values,
            Counter(self.uses) + Counter(inner.uses) if inner.uses else self.uses,
        )


class _Spread(NamedTuple):
    name: str
    depth: int
    nesting: int


Definition: TypeAlias = OperationDefinitionNode | FragmentDefinitionNode


class _Walk:
    """Counts one definition without its fragments. It does not recurse, since the depth is not known yet."""

    def __init__(self, definition: Definition) -> None:
        self.size = Size()
        self.spreads: list[_Spread] = []
        self._uses: Counter[str] = Counter()
        counted: Counter[str] = Counter()
        deepest, most_nested = 0, 0
        # The depth of introspection has a limit of its own (introspection.py).
        condition = getattr(definition, "type_condition", None)
        described = condition is not None and condition.name.value.startswith("__")
        stack: list[tuple[Any, int, int, bool]] = [(definition, 0, 0, described)]
        while stack:
            node, depth, nesting, described = stack.pop()
            if isinstance(node, FieldNode):
                described = described or node.name.value in ("__schema", "__type")
                depth += not described
                counted["aliases"] += node.alias is not None
            elif isinstance(node, FragmentSpreadNode):
                self.spreads.append(_Spread(node.name.value, depth, nesting + 1))
            elif isinstance(node, VariableNode):
                self._uses[node.name.value] += 1
            counted[_KINDS.get(type(node), "values" if isinstance(node, ValueNode) else "others")] += 1
            deepest, most_nested = max(deepest, depth), max(most_nested, nesting)
            stack.extend((one, depth, nesting + 1, described) for one in _inside(node))
        self.size = Size(
            deepest,
            most_nested,
            counted["fields"],
            counted["aliases"],
            counted["directives"],
            counted["values"],
            self._uses,
        )

    def total(self, fragments: Mapping[str, Size]) -> Size:
        """Add the fragments, as far as they exist: validation reports the others, and cycles."""
        size = self.size
        for spread in self.spreads:
            if spread.name in fragments:
                size = size.around(fragments[spread.name], spread.depth, spread.nesting)
        return size


_KINDS: Mapping[type[Any], str] = {FieldNode: "fields", DirectiveNode: "directives"}


def _inside(node: Any) -> Iterator[Any]:
    """Yield what counts inside a node: selections, directives, variable definitions, values."""
    for name in ("variable_definitions", "directives"):
        yield from getattr(node, name, None) or ()
    for argument in getattr(node, "arguments", None) or ():
        yield argument.value
    if getattr(node, "default_value", None) is not None:
        yield node.default_value
    if isinstance(node, ListValueNode):
        yield from node.values
    elif isinstance(node, ObjectValueNode):
        for field in node.fields:
            yield field.value
    elif getattr(node, "selection_set", None) is not None:
        yield from node.selection_set.selections


def fragments_of(document: DocumentNode) -> dict[str, FragmentDefinitionNode]:
    return {
        node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
    }


def _sizes(fragments: Mapping[str, FragmentDefinitionNode]) -> Mapping[str, Size]:
    """Return the size of each fragment: first those that it spreads, then its own."""
    walks = {name: _Walk(node) for name, node in fragments.items()}
    known: dict[str, Size] = {}
    for root, walk in walks.items():
        path, on_path = [(root, iter(walk.spreads))], {root}
        while path:
            name, spreads = path[-1]
            for one in spreads:
                if one.name in walks and one.name not in known and one.name not in on_path:
                    path.append((one.name, iter(walks[one.name].spreads)))
                    on_path.add(one.name)
                    break
            else:
                path.pop()
                on_path.discard(name)
                known[name] = walks[name].total(known)
    return known


def sizes(document: DocumentNode) -> dict[str | None, Size]:
    """Return how much each operation of a document asks, by its name."""
    fragments = _sizes(fragments_of(document))
    return {
        node.name.value if node.name else None: _Walk(node).total(fragments)
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode)
    }


_LIMITS: tuple[tuple[str, int, Callable[[Size], int]], ...] = (
    ("levels of depth", MOST_DEPTH, lambda size: size.depth),
    ("levels of nesting", MOST_NESTING, lambda size: size.nesting),
    ("fields", MOST_FIELDS, lambda size: size.fields),
    ("aliases", MOST_ALIASES, lambda size: size.aliases),
    ("directives", MOST_DIRECTIVES, lambda size: size.directives),
    ("values", MOST_VALUES, lambda size: size.values),
    ("variables", MOST_VARIABLES, lambda size: len(size.uses)),
)


def exceeded(document: DocumentNode, asked: Iterable[Size]) -> list[GraphQLError]:
    """Return an error for each limit that an operation of the document exceeds."""
    found = (
        [] if _words_are_short(document) else [f"Names and numbers have at most {MOST_LETTERS} characters."]
    )
    for size in asked:
        for what, most, part in _LIMITS:
            if part(size) > most:
                found.append(f"An operation has at most {most} {what}.")
    return [too_much(message) for message in dict.fromkeys(found)]


_WORDS = (TokenKind.NAME, TokenKind.INT, TokenKind.FLOAT)


def _words_are_short(document: DocumentNode) -> bool:
    token = document.loc and document.loc.start_token
    while token:
        if token.kind in _WORDS and token.end - token.start > MOST_LETTERS:
            return False
        token = token.next
    return True


def exceeded_by(variables: Mapping[str, Any], asked: Size) -> list[GraphQLError]:
    """Return an error if these variables are more than an operation of this size may have; they are read
    as JSON.
    """
    total = asked.values
    for name, value in variables.items():
        count = _values(value)
        if count is None:
            return [too_much(f"Variables are nested at most {MOST_VARIABLE_NESTING} levels deep.")]
        total += max(1, asked.uses.get(name, 0)) * count
        if total > MOST_VALUES:
            return [too_much(f"An operation has at most {MOST_VALUES} values; members of lists count.")]
    return []


def _values(value: Any) -> int | None:
    """Count the values in JSON, up to a few too many; None if they are nested too deeply."""
    level, count = [value], 1
    for _ in range(MOST_VARIABLE_NESTING + 1):
        holders = [one for one in level if isinstance(one, (dict, list))]
        count += sum(map(len, holders))
        if not holders or count > MOST_VALUES:
            return count
        level = [inner for one in holders for inner in (one.values() if isinstance(one, dict) else one)]
    return None


def too_much(message: str) -> GraphQLError:
    return coded(message, "LIMIT_EXCEEDED")
