"""What is worked out once for each document: parsed, held against the limits, validated, and the
scopes that each of its operations needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from graphql import DocumentNode, GraphQLError, OperationType, get_operation_ast, parse
from strawberry.extensions import SchemaExtension
from strawberry.schema.schema import validate_document

from tournee.api.context import Context
from tournee.api.errors import coded
from tournee.api.limits import MOST_NESTING, MOST_TOKENS, exceeded, nested_too_deeply
from tournee.api.scopes import required_scopes

# Longer documents are worked out anew each time: nobody sends them often.
_LONGEST_KEPT = 20_000


@dataclass(frozen=True)
class Prepared:
    """A document without its variables. `document` None: it could not be parsed."""

    document: DocumentNode | None
    errors: list[GraphQLError] = field(default_factory=list)
    scopes: dict[str | None, frozenset[str]] = field(default_factory=dict)

    def ambiguous(self, operation: str | None) -> list[GraphQLError]:
        if operation is not None or len(self.scopes) < 2:
            return []
        return [coded("Name the operation: the document has several.", "GRAPHQL_VALIDATION_FAILED")]

    def missing(self, operation: str | None, context: Context) -> list[GraphQLError]:
        """An error for each scope that the actor lacks."""
        needed = self.scopes.get(operation, frozenset())
        lacking = sorted(scope for scope in needed if not context.actor.may(scope))
        return [coded(f"This needs the scope {scope}.", "FORBIDDEN", scope=scope) for scope in lacking]


def prepare(schema: Any, text: str, rules: tuple[Any, ...]) -> Prepared:
    """The document worked out, from memory where it was seen before."""
    worked_out = _prepare.__wrapped__ if len(text) > _LONGEST_KEPT else _prepare
    prepared: Prepared = worked_out(schema, text, rules)
    return prepared


@lru_cache(maxsize=512)
def _prepare(schema: Any, text: str, rules: tuple[Any, ...]) -> Prepared:
    try:
        document = parse(text, max_tokens=MOST_TOKENS)
    except GraphQLError:
        return Prepared(None)
    errors = exceeded(document) or validate_document(schema, document, rules)
    return Prepared(document, errors, {} if errors else required_scopes(schema, document))


def is_subscription(text: str, operation: str | None) -> bool:
    """Whether this operation of the document is one; what cannot be read is none."""
    if "subscription" not in text:
        return False
    try:
        found = get_operation_ast(parse(text, max_tokens=MOST_TOKENS), operation)
    except GraphQLError:
        return False
    return found is not None and found.operation is OperationType.SUBSCRIPTION


def _check_variables(variables: Any) -> list[GraphQLError]:
    if not nested_too_deeply(variables):
        return []
    return [coded(f"Variables are nested at most {MOST_NESTING} levels deep.", "LIMIT_EXCEEDED")]


class Preparation(SchemaExtension):
    """Gives each operation its prepared document and a context of its own."""

    async def on_operation(self) -> AsyncIterator[None]:
        execution = self.execution_context
        execution.parse_options = {"max_tokens": MOST_TOKENS}
        context: Context = execution.context.copy()
        execution.context = context
        if isinstance(execution.query, str):
            schema = execution.schema._schema  # noqa: SLF001 - Strawberry offers no other way to it
            prepared = prepare(schema, execution.query, execution.validation_rules)
            execution.graphql_document = prepared.document
            if prepared.document is not None:
                named = execution._provided_operation_name  # noqa: SLF001 - else the first is taken for it
                execution.pre_execution_errors = (
                    prepared.errors
                    or prepared.ambiguous(named)
                    or prepared.missing(execution.operation_name, context)
                    or _check_variables(execution.variables)
                )
        try:
            yield
        finally:
            await context.load.close()
