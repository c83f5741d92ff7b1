"""Questions about the schema itself: how much a document asks, and the answer.

An answer can list every type with its fields and their arguments, so a few letters may ask for megabytes. The
number of these is known in advance, and so is the size of an answer. An operation may ask for somewhat more
than the standard query that GraphiQL and code generators send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sized
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain
from typing import Any, NamedTuple

import orjson
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    execute_sync,
    get_introspection_query,
    is_abstract_type,
    is_enum_type,
    is_input_object_type,
    is_interface_type,
    is_object_type,
    is_wrapping_type,
    parse,
)

from tournee.api.errors import coded
from tournee.api.limits import fragments_of, too_much

# The most introspection that a request may combine with other fields; a larger one must stand alone.
MOST_BESIDE = 1_000
_MARGIN = 1.5
_KEPT = 2


class Asked(NamedTuple):
    """How many values of the schema an operation asks for, and whether it asks for nothing else."""

    values: float
    alone: bool

    def exceeded(self, schema: GraphQLSchema) -> list[GraphQLError]:
        """Return an error if that is too much."""
        if self.values <= (standard(schema) if self.alone else MOST_BESIDE):
            return []
        beside = "" if self.alone else " beside other fields"
        return [too_much(f"This asks for too much of the schema's description{beside}.")]


OFF = coded("This server does not describe its schema; it is published with the server.", "INTROSPECTION_OFF")


# For each type and field: the type that the field leads to, and the greatest number of results.
_Steps = Mapping[tuple[str, str], tuple[str, float]]


@cache
def _steps(schema: GraphQLSchema) -> _Steps:
    """Return the numbers of values: exact for all types together, the maximum for any single one."""
    types = list(schema.type_map.values())
    composite = [one for one in types if is_object_type(one) or is_interface_type(one)]
    inputs = [one for one in types if is_input_object_type(one)]
    fields = [field for one in composite for field in one.fields.values()]
    arguments = [argument for field in fields for argument in field.args.values()]
    input_fields = [field for one in inputs for field in one.fields.values()]
    wrappers = max(_wrappers(one.type) for one in chain(fields, arguments, input_fields))
    lists: dict[str, tuple[str, list[Sized]]] = {
        "fields": ("Field", [one.fields for one in composite]),
        "inputFields": ("InputValue", [one.fields for one in inputs]),
        "enumValues": ("EnumValue", [one.values for one in types if is_enum_type(one)]),
        "interfaces": ("Type0", [one.interfaces for one in composite]),
        "possibleTypes": (
            "Type0",
            [schema.get_possible_types(one) for one in types if is_abstract_type(one)],
        ),
    }
    steps: dict[tuple[str, str], tuple[str, float]] = {
        ("Root", "__schema"): ("Schema", 1),
        ("Root", "__type"): ("Type0", 1),
        ("Schema", "types"): ("AllTypes", len(types)),
        ("Schema", "directives"): ("Directive", len(schema.directives)),
        ("Directive", "args"): ("InputValue", _greatest([one.args for one in schema.directives])),
        ("AllFields", "args"): ("InputValue", len(arguments) / len(fields)),
        ("Field", "args"): ("InputValue", _greatest([field.args for field in fields])),
    }
    steps |= {("Schema", f"{root}Type"): ("Type0", 1) for root in ("query", "mutation", "subscription")}
    steps |= {(of, "type"): ("Type0", 1) for of in ("AllFields", "Field", "InputValue")}
    steps |= {(f"Type{n}", "ofType"): (f"Type{n + 1}", 1) for n in range(wrappers)}
    for name, (member, held) in lists.items():
        together = "AllFields" if name == "fields" else member
        steps["AllTypes", name] = (together, sum(map(len, held)) / len(types))
        steps |= {(f"Type{n}", name): (member, _greatest(held)) for n in range(wrappers + 1)}
    return steps


def _greatest(held: Iterable[Sized]) -> int:
    return max(map(len, held), default=0)


def _wrappers(kind: Any) -> int:
    return 1 + _wrappers(kind.of_type) if is_wrapping_type(kind) else 0


class _Count:
    """Counts the values of an answer; each fragment once for each kind of thing that it is spread on."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode) -> None:
        self.steps = _steps(schema)
        self.fragments = fragments_of(document)
        self.known: dict[tuple[str, str], float] = {}
        self.alone = True

    def of(self, selections: SelectionSetNode | None, kind: str) -> float:
        return sum(self._node(node, kind) for node in selections.selections) if selections else 0.0

    def _node(self, node: Any, kind: str) -> float:
        if isinstance(node, FieldNode):
            return self._field(node, kind)
        if not isinstance(node, FragmentSpreadNode):
            return self.of(node.selection_set, kind)
        key = (node.name.value, kind)
        if key not in self.known:
            # Unknown names and cycles are for validation to report.
            self.known[key] = 0.0
            if node.name.value in self.fragments:
                self.known[key] = self.of(self.fragments[node.name.value].selection_set, kind)
        return self.known[key]

    def _field(self, node: FieldNode, kind: str) -> float:
        name = node.name.value
        if (kind, name) in self.steps:
            following, times = self.steps[kind, name]
            return 1 + times * self.of(node.selection_set, following)
        if kind != "Root":
            return 1
        self.alone = self.alone and name == "__typename"
        return 0


def asked(schema: GraphQLSchema, document: DocumentNode) -> dict[str | None, Asked]:
    """Return what each operation of a document asks about the schema; the document must not be nested too
    deeply.
    """
    found = {}
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            count = _Count(schema, document)
            values = count.of(node.selection_set, "Root")
            found[node.name.value if node.name else None] = Asked(values, count.alone)
    return found


@cache
def standard(schema: GraphQLSchema) -> float:
    """Return how many values may be asked of the schema: half as many again as the fullest standard query
    asks.
    """
    full = get_introspection_query(
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
        input_value_deprecation=True,
        one_of=True,
    )
    count = _Count(schema, document := parse(full))
    [operation] = (one for one in document.definitions if isinstance(one, OperationDefinitionNode))
    return _MARGIN * count.of(operation.selection_set, "Root")


# An answer takes most of a second. One thread makes it, one at a time, so that others are served meanwhile.
_WORKER = ThreadPoolExecutor(1, "introspection")
_ANSWERS: dict[tuple[GraphQLSchema, bytes], ExecutionResult] = {}


async def answer(
    schema: GraphQLSchema, document: DocumentNode, text: str, operation: str | None, variables: Any
) -> ExecutionResult:
    """Answer an operation that asks about the schema alone; everybody gets the same answer."""
    key = schema, orjson.dumps([text, operation, variables])
    if key not in _ANSWERS:
        work = _WORKER.submit(
            execute_sync, schema, document, variable_values=variables, operation_name=operation
        )
        result = await asyncio.wrap_future(work)
        while len(_ANSWERS) >= _KEPT:
            _ANSWERS.pop(next(iter(_ANSWERS)))
        _ANSWERS[key] = result
    return _ANSWERS[key]
