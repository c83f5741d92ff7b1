"""What an operation costs: the rows that it asks for, whether they exist or not.

A list counts as many rows as its page may hold, for each row around it; a single record counts as one. A
fragment is counted once and then multiplied, however often it is spread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
)

from tournee.api.limits import fragments_of
from tournee.api.mapping import PagePart, source_of
from tournee.api.pages import DEFAULT_ROWS

# A number of rows, or the name of the variable that says it.
Rows: TypeAlias = int | str

# Of a greater cost JSON has no exact number.
_MOST = 2**53 - 1


@dataclass(frozen=True, eq=False)
class _Part:
    """A field or fragment, how many rows it asks for, and what it asks for inside each. A fragment is no row
    itself.
    """

    rows: tuple[Rows, ...] = (1,)
    inner: list[_Part] = field(default_factory=list)
    is_row: bool = True


@dataclass(frozen=True, eq=False)
class Cost:
    """The cost of one operation."""

    parts: list[_Part]
    # The default values of its variables.
    defaults: Mapping[str, int]

    def of(self, variables: Mapping[str, Any]) -> int:
        """Return how many rows the operation asks for with these variables."""
        given = {**self.defaults, **variables}
        known: dict[_Part, int] = {}

        def rows(part: _Part) -> int:
            if part not in known:
                inner = sum(map(rows, part.inner))
                known[part] = _number(part.rows, given) * (part.is_row + inner)
            return known[part]

        return min(sum(map(rows, self.parts)), _MOST)


def _number(rows: Iterable[Rows], variables: Mapping[str, Any]) -> int:
    """Return the first number that is given; one that is no number is refused elsewhere."""
    for one in rows:
        found = variables.get(one) if isinstance(one, str) else one
        if found is not None:
            # GraphQL takes 100.0 for an Int, too.
            is_whole = isinstance(found, int) or (isinstance(found, float) and found.is_integer())
            return max(int(found), 0) if is_whole else 0
    return 1


class _Counting:
    """Counts the operations of one document, each fragment once."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self._schema = schema
        self._fragments = fragments_of(document)
        self._known: dict[str, _Part] = {}

    def parts(self, parent: Any, selections: SelectionSetNode | None) -> list[_Part]:
        found = []
        for node in selections.selections if selections else ():
            if isinstance(node, FieldNode):
                found += self._field(parent, node)
            elif isinstance(node, InlineFragmentNode):
                inside = node.type_condition
                found += self.parts(
                    self._schema.type_map[inside.name.value] if inside else parent, node.selection_set
                )
            elif isinstance(node, FragmentSpreadNode):
                found.append(self._fragment(node.name.value))
        return found

    def _field(self, parent: Any, node: FieldNode) -> list[_Part]:
        definition = parent.fields.get(node.name.value) if hasattr(parent, "fields") else None
        if definition is None or node.selection_set is None:
            return []
        inner = self.parts(get_named_type(definition.type), node.selection_set)
        if isinstance(source_of(definition), PagePart):
            return inner
        return [_Part(_rows(definition, node), inner)]

    def _fragment(self, name: str) -> _Part:
        if name not in self._known:
            node = self._fragments[name]
            kind = self._schema.type_map[node.type_condition.name.value]
            self._known[name] = _Part((1,), self.parts(kind, node.selection_set), is_row=False)
        return self._known[name]


def _rows(definition: GraphQLField, node: FieldNode) -> tuple[Rows, ...]:
    if "first" not in definition.args:
        return (1,)
    given = {one.name.value: one.value for one in node.arguments or ()}
    sizes: list[Rows] = []
    for name in ("first", "last"):
        value = given.get(name)
        if isinstance(value, IntValueNode):
            sizes.append(int(value.value))
        elif isinstance(value, VariableNode):
            sizes.append(value.name.value)
    default = definition.args["first"].default_value
    return (*sizes, default if isinstance(default, int) else DEFAULT_ROWS)


def costs(schema: GraphQLSchema, document: DocumentNode) -> dict[str | None, Cost]:
    """Return the cost of each operation of a valid document, by its name."""
    counting, found = _Counting(schema, document), {}
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            parts = counting.parts(schema.get_root_type(node.operation), node.selection_set)
            defaults = {
                one.variable.name.value: int(one.default_value.value)
                for one in node.variable_definitions or ()
                if isinstance(one.default_value, IntValueNode)
            }
            found[node.name.value if node.name else None] = Cost(parts, defaults)
    return found
