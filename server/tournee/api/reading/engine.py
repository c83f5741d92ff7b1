"""The read engine's part of a request: from an operation and its variables to the bytes of the answer."""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson
import structlog
from graphql import GraphQLError, GraphQLSchema, OperationType, get_operation_ast
from graphql.execution.values import VariableValues, get_variable_values
from prometheus_client import Counter

from tournee.api.context import Context
from tournee.api.documents import Prepared, prepare
from tournee.api.errors import Rejected
from tournee.api.reading.plans import Operation, Plan, Plans
from tournee.api.reading.unknown import Doubt
from tournee.api.requests import Asked
from tournee.kernel.command import Kernel
from tournee.kernel.outages import outage_of

# Of memory: about a thousand plans.
MOST_BYTES = 100_000_000
# Compiling stops everything else; a document of more fields is left to the executor.
MOST_FIELDS = 300
# A document that is not asked again is not worth a plan.
_TIMES = 2

_NOTHING = VariableValues({}, {})

_reads = Counter("tournee_graphql_reads", "GraphQL queries over HTTP, by who answered.", ["lane"])


@cache
def _counter(lane: str) -> Counter:
    return _reads.labels(lane)


class Reads:
    """Answers the queries that it understands, without the ordinary executor."""

    def __init__(self, kernel: Kernel, schema: GraphQLSchema, times: int = _TIMES) -> None:
        self.plans = Plans(MOST_BYTES)
        self._kernel = kernel
        self._schema = schema
        self._times = times

    async def answer(self, asked: Asked, context: Context) -> bytes | None:
        """Return the body of the answer; None where the executor has to answer."""
        prepared = prepare(self._schema, asked.query, not context.suggestions)
        operation = self._operation(prepared, asked.operation_name)
        if operation is None:
            return None
        try:
            answer = await self._answer(prepared, operation, asked, context)
        except (Doubt, GraphQLError, Rejected):
            _counter("executor_doubt").inc()
        except Exception as error:  # noqa: BLE001 - the executor answers instead, and reports what fails there too
            _counter("executor_failed").inc()
            if outage_of(error) is None:
                structlog.get_logger().error("reading_failed", request_id=context.request_id, exc_info=error)
        else:
            if answer is not None:
                _counter("engine").inc()
            return answer
        return None

    def _operation(self, prepared: Prepared, name: str | None) -> Operation | None:
        """Return the query that is asked for; None for anything else."""
        if prepared.document is None:
            return None
        if name not in prepared.operations:
            node = get_operation_ast(prepared.document, name)
            if node is None:
                return None
            is_query = node.operation is OperationType.QUERY
            made = Operation(self._schema, prepared.document, node) if is_query else None
            prepared.operations[name] = made
        known: Operation | None = prepared.operations[name]
        return known

    async def _answer(
        self, prepared: Prepared, operation: Operation, asked: Asked, context: Context
    ) -> bytes | None:
        variables = asked.variables or {}
        if prepared.refusals(asked.operation_name, variables, context):
            raise Doubt("refused")
        operation.times += 1
        if operation.times < self._times:
            _counter("executor_first").inc()
            return None
        given = self._read(operation, variables)
        plan = self._plan(prepared, operation, given, context)
        if plan is None:
            _counter("executor_unmapped").inc()
            return None
        values = plan.values(given.coerced, context.actor)
        found = await self._kernel.ask(context.actor, plan.questions, values)
        return orjson.dumps({"data": plan.build(found)}, option=orjson.OPT_UTC_Z)

    def _read(self, operation: Operation, variables: dict[str, Any]) -> VariableValues:
        """Read the variables as their types say; raises Doubt for wrong ones."""
        if not operation.node.variable_definitions:
            return _NOTHING
        given = get_variable_values(self._schema, operation.node.variable_definitions, variables)
        if isinstance(given, list):
            raise Doubt("wrong variables")
        return given

    def _plan(
        self, prepared: Prepared, operation: Operation, given: VariableValues, context: Context
    ) -> Plan | None:
        """Return the plan, made now if there is none; None if there can be none."""
        key = operation.key(given.coerced, context.actor)
        if key in self.plans:
            return self.plans.get(key)
        plan = None
        if all(size.fields <= MOST_FIELDS for size in prepared.sizes.values()):
            try:
                plan = operation.compile(given, context.actor, self._kernel)
            except (Doubt, GraphQLError, Rejected):
                plan = None
        # Compiling may have found out what else a plan depends on.
        self.plans.keep(operation.key(given.coerced, context.actor), plan)
        return plan
