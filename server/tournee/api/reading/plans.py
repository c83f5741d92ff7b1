"""Plans: what is kept of a compiled operation, and for which variables and actors it holds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeAlias

from graphql import DocumentNode, GraphQLSchema, OperationDefinitionNode
from graphql.execution.values import VariableValues
from sqlalchemy import Select

from tournee.api.reading.compiling import Compiler
from tournee.api.reading.finishing import Part, Waiting
from tournee.api.reading.unknown import Doubt, How, Needed, Parameters, Path, Shape
from tournee.kernel.actor import Actor
from tournee.kernel.question import Question

PLAN_BYTES = 10_000
_MOST_NEEDS = 50


class Asks(Protocol):
    """Makes a question of a statement and the names of its parameters."""

    def question(self, statement: Select[Any], names: Sequence[str]) -> Question: ...


@dataclass(frozen=True)
class Plan:
    """Statements, and the function that makes the answer of their rows."""

    questions: tuple[Question, ...]
    parameters: Parameters
    # Makes the function, which calls `later(object, key, number of the part, row)` for each value that is
    # still missing.
    _make: Callable[..., Callable[[list[Sequence[Any]]], dict[str, Any]]]
    # The fields that have resolvers.
    parts: tuple[Part, ...]
    most_rows: int

    def values(self, variables: Mapping[str, Any], actor: Actor) -> dict[str, Any]:
        """Return the parameters of the statements; raises for what the executor would refuse."""
        return {"account_id": actor.id, **self.parameters.bind(variables)}

    @cached_property
    def _build(self) -> Callable[[list[Sequence[Any]]], dict[str, Any]]:
        return self._make(None)

    def build(self, found: list[Sequence[Any]]) -> dict[str, Any]:
        """Return the answer, if it has no parts."""
        return self._build(found)

    def begin(self, found: list[Sequence[Any]]) -> tuple[dict[str, Any], list[Waiting]]:
        """Return the answer, and what its parts have to fill in."""
        waiting: list[Waiting] = []

        def later(holder: dict[str, Any], *missing: Any) -> dict[str, Any]:
            waiting.append((holder, *missing))
            return holder

        return self._make(later)(found), waiting


class Operation:
    """One operation of a document: what its plans depend on, and how often it was asked."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, node: OperationDefinitionNode) -> None:
        self.schema = schema
        self.document = document
        self.node = node
        self.times = 0
        # In characters; a document's nodes take up to 150 times as many bytes.
        self.length = document.loc.end if document.loc else 0
        self._needs: dict[Path, How] = {}

    def key(self, variables: Mapping[str, Any], actor: Actor) -> Key:
        """Return what a plan depends on: equal for all that one plan fits. It names no organisation."""
        shape = Shape(self._needs).of(variables) if variables else ()
        return self, actor.permissions, actor.sees_all, shape

    def compile(self, given: VariableValues, actor: Actor, asks: Asks) -> Plan:
        """Make a plan. Raises Doubt where the executor has to answer, and GraphQLError or Rejected where it
        would refuse.
        """
        while True:
            parameters = Parameters()
            hidden = Shape(self._needs).hidden(given.coerced, parameters)
            variables = VariableValues(given.sources, hidden)
            compiler = Compiler(self.schema, self.document, self.node, variables, actor)
            try:
                compiler.compile()
            except Needed as needed:
                self._need(needed)
                continue
            names = ("account_id", *parameters.names)
            questions = tuple(asks.question(one, names) for one in compiler.statements)
            make = compiler.code.made("answer", "later")
            return Plan(questions, parameters, make, tuple(compiler.parts), compiler.most_rows)

    def _need(self, needed: Needed) -> None:
        if needed.path in self._needs or len(self._needs) >= _MOST_NEEDS:
            raise Doubt("the plan depends on too much")
        self._needs[needed.path] = needed.how


Key: TypeAlias = tuple[Operation, frozenset[Any], bool, Any]


class Plans:
    """The plans used last, of all operations together; also that there is none for a key. `most` limits the
    bytes that they take, by a rough guess.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._kept: OrderedDict[Key, Plan | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, key: Key) -> bool:
        return key in self._kept

    def get(self, key: Key) -> Plan | None:
        self._kept.move_to_end(key)
        return self._kept[key]

    def keep(self, key: Key, plan: Plan | None) -> None:
        if key not in self._kept:
            self._held += _size(key, plan)
        self._kept[key] = plan
        while self._held > self._most:
            self._held -= _size(*self._kept.popitem(last=False))


def _size(key: Key, plan: Plan | None) -> int:
    """Return about how many bytes a plan takes, with the document that it holds on to."""
    questions = () if plan is None else plan.questions
    return PLAN_BYTES + 150 * key[0].length + sum(20 * len(one.text) for one in questions)
