"""Documents: each one is parsed, checked against the limits and validated once, before it runs, with what
each of its operations needs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    get_operation_ast,
    parse,
    specified_rules,
    validate,
)
from strawberry.extensions import SchemaExtension
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from tournee.api import introspection, limits, suggestions
from tournee.api.context import Context
from tournee.api.errors import MOST_ERRORS, NO_OPERATION, coded, present
from tournee.api.http.costs import Cost, costs
from tournee.api.permissions import forbidden, required_permissions

__all__ = ["Preparation", "Prepared", "is_query", "is_subscription", "prepare", "suggestions"]

_RULES = (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)

# In characters. At worst, each second character is a token, which takes 300 bytes of memory.
_MOST_KEPT = 250_000


@dataclass(frozen=True, eq=False)
class Prepared:
    """A document without its variables. Without `document` it is always refused."""

    document: DocumentNode | None
    errors: list[GraphQLError] = field(default_factory=list)
    sizes: Mapping[str | None, limits.Size] = field(default_factory=dict)
    described: Mapping[str | None, introspection.Asked] = field(default_factory=dict)
    permissions: Mapping[str | None, frozenset[str]] = field(default_factory=dict)
    # The names of the queries: one that asks for more than its actor may read is answered in part.
    queries: frozenset[str | None] = frozenset()
    costs: Mapping[str | None, Cost] = field(default_factory=dict)

    def refusals(
        self, operation: str | None, variables: Mapping[str, Any], context: Context
    ) -> list[GraphQLError]:
        """Return the errors because of which an operation does not run."""
        return (
            self._ambiguous(operation)
            or self._missing(self._name(operation), context)
            or self._undescribed(self._name(operation), context)
            or limits.exceeded_by(variables, self.sizes.get(self._name(operation), limits.Size()))
            or self._too_costly(operation, variables, context)
        )

    def cost(self, operation: str | None, variables: Mapping[str, Any]) -> int:
        """Return how many rows the operation asks for."""
        known = self.costs.get(self._name(operation))
        return 0 if known is None else known.of(variables)

    def _too_costly(
        self, operation: str | None, variables: Mapping[str, Any], context: Context
    ) -> list[GraphQLError]:
        cost = self.cost(operation, variables)
        if cost <= context.cost_limit:
            return []
        message = f"This operation asks for {cost} rows; ask for at most {context.cost_limit} at a time."
        return [coded(message, "LIMIT_EXCEEDED", cost=said(cost, context))]

    def asks_about_schema_alone(self, operation: str | None) -> bool:
        asked = self.described.get(self._name(operation))
        return asked is not None and asked.alone and asked.values > 0

    def _name(self, operation: str | None) -> str | None:
        return next(iter(self.sizes), None) if operation is None else operation

    def _ambiguous(self, operation: str | None) -> list[GraphQLError]:
        if operation is not None or len(self.sizes) < 2:
            return []
        return [coded("Name the operation: the document has several.", "GRAPHQL_VALIDATION_FAILED")]

    def lacking(self, operation: str | None, context: Context) -> list[str]:
        """Return the permissions that the operation needs and the actor does not hold."""
        needed = self.permissions.get(self._name(operation), frozenset())
        return sorted(one for one in needed if not context.actor.may(one))

    def _missing(self, operation: str | None, context: Context) -> list[GraphQLError]:
        """Return an error for each permission that the actor lacks. A mutation must not take effect when its
        answer cannot be shown.
        """
        if operation in self.queries:
            return []
        return [forbidden(one) for one in self.lacking(operation, context)]

    def _undescribed(self, operation: str | None, context: Context) -> list[GraphQLError]:
        asked = self.described.get(operation)
        return [introspection.OFF] if asked and asked.values and not context.introspection else []


def said(cost: int, context: Context) -> dict[str, int]:
    """Return a cost as answers say it."""
    return {"requested": cost, "limit": context.cost_limit}


class _Memory:
    """Prepared documents, as many as fit; the least recently used make room."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.hits = 0
        self._held = 0
        self._documents: OrderedDict[Any, Prepared] = OrderedDict()

    def clear(self) -> None:
        self._documents.clear()
        self._held = self.hits = 0

    def get(self, key: tuple[GraphQLSchema, str, bool]) -> Prepared | None:
        if key not in self._documents:
            return None
        self.hits += 1
        self._documents.move_to_end(key)
        return self._documents[key]

    def keep(self, key: tuple[GraphQLSchema, str, bool], prepared: Prepared) -> None:
        self._documents[key] = prepared
        self._held += len(key[1])
        while self._held > self.most:
            (_, text, _), _ = self._documents.popitem(last=False)
            self._held -= len(text)


memory = _Memory(_MOST_KEPT)


def prepare(schema: GraphQLSchema, text: str, hide_suggestions: bool = False) -> Prepared:
    """Prepare a document, or take it from memory."""
    key = schema, text, hide_suggestions
    prepared = memory.get(key)
    if prepared is None:
        prepared = _prepare(schema, text, hide_suggestions)
        memory.keep(key, prepared)
    return prepared


def _prepare(schema: GraphQLSchema, text: str, hide_suggestions: bool) -> Prepared:
    """Prepare a document. Each step is cheap because those before it limit its input."""
    if len(text) > limits.MOST_CHARACTERS:
        return _refused([limits.too_much(limits.TOO_LONG)])
    try:
        document = parse(text, max_tokens=limits.MOST_TOKENS)
    except GraphQLError as error:
        return _refused([error])
    sizes = limits.sizes(document)
    if not sizes:
        return _refused([coded(NO_OPERATION, "BAD_REQUEST")])
    if errors := limits.exceeded(document, sizes.values()):
        return _refused(errors)
    described = introspection.asked(schema, document)
    if errors := [error for one in described.values() for error in one.exceeded(schema)]:
        return _refused(errors)
    if errors := validate(schema, document, _RULES, MOST_ERRORS - 1, hide_suggestions):
        return _refused(errors)
    return Prepared(
        document,
        [],
        sizes,
        described,
        required_permissions(schema, document),
        _queries(document),
        costs(schema, document),
    )


def _queries(document: DocumentNode) -> frozenset[str | None]:
    return frozenset(
        node.name.value if node.name else None
        for node in document.definitions
        if isinstance(node, OperationDefinitionNode) and node.operation is OperationType.QUERY
    )


def _refused(errors: list[GraphQLError]) -> Prepared:
    """Keep the answer, but not the document that its errors refer to."""
    return Prepared(None, present(errors))


def is_query(schema: GraphQLSchema, text: str, operation: str | None, context: Context) -> bool:
    """Return whether this operation of the document is a query; False if it cannot be read."""
    return _kind(schema, text, operation, context) is OperationType.QUERY


def is_subscription(schema: GraphQLSchema, text: str, operation: str | None, context: Context) -> bool:
    """Return whether this operation of the document is a subscription; False if it cannot be read."""
    return _kind(schema, text, operation, context) is OperationType.SUBSCRIPTION


def _kind(schema: GraphQLSchema, text: str, operation: str | None, context: Context) -> OperationType | None:
    document = prepare(schema, text, not context.suggestions).document
    found = None if document is None else get_operation_ast(document, operation)
    return None if found is None else found.operation


class DocumentRefused(Exception):
    """Nothing of a document is run."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__("refused")
        self.errors = errors


class Preparation(SchemaExtension):
    """Gives each operation its prepared document, and a context of its own."""

    async def on_operation(self) -> AsyncIterator[None]:
        execution = self.execution_context
        context: Context = execution.context.copy()
        execution.context = context
        self.prepared = Prepared(None)
        if execution.query:
            self._prepare(context)
        async with context.loading():
            yield

    def _prepare(self, context: Context) -> None:
        execution = self.execution_context
        schema = execution.schema._schema  # noqa: SLF001 - Strawberry has no public way to it
        self.prepared = prepared = prepare(schema, execution.query or "", not context.suggestions)
        if prepared.document is None:
            raise DocumentRefused(prepared.errors)
        execution.graphql_document = prepared.document
        named = execution._provided_operation_name  # noqa: SLF001 - the public name falls back to the first operation
        # An empty list tells Strawberry that validation is done.
        execution.pre_execution_errors = prepared.refusals(named, execution.variables or {}, context)
        context.checks_fields = bool(prepared.lacking(named, context))

    def get_results(self) -> dict[str, Any]:
        execution = self.execution_context
        context: Context = execution.context
        if not context.wants_cost:
            return {}
        named = execution._provided_operation_name  # noqa: SLF001 - as above
        return {"cost": said(self.prepared.cost(named, execution.variables or {}), context)}

    async def on_execute(self) -> AsyncIterator[None]:
        execution = self.execution_context
        name = execution.operation_name
        document = self.prepared.document
        if document is not None and self.prepared.asks_about_schema_alone(name):
            schema = execution.schema._schema  # noqa: SLF001 - as above
            text = execution.query or ""
            execution.result = await introspection.answer(schema, document, text, name, execution.variables)
        yield
