"""The read engine's part of a request: from an operation and its variables to the bytes of the answer."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any
from weakref import WeakKeyDictionary

import orjson
import structlog
from graphql import GraphQLError, GraphQLSchema, OperationType, get_operation_ast
from graphql.execution.executor import Executor
from graphql.execution.values import VariableValues, get_variable_values
from prometheus_client import Counter

from tournee.api.context import Context
from tournee.api.documents import Prepared, prepare, said
from tournee.api.errors import Rejected, cause_of, coded
from tournee.api.reading.finishing import finish
from tournee.api.reading.plans import Key, Operation, Plan, Plans
from tournee.api.reading.unknown import Doubt
from tournee.api.requests import Asked
from tournee.kernel.actor import Actor
from tournee.kernel.command import Kernel
from tournee.kernel.outages import QueryTimeout, outage_of

# Of memory: about a thousand plans.
MOST_BYTES = 100_000_000
# A plan of so many fields takes some tenths of a second; a document of more is left to the executor.
MOST_FIELDS = 150
# A document that is not asked again is not worth a plan.
_TIMES = 2

_TIMEOUT = orjson.dumps({"data": None, "errors": [coded(QueryTimeout.message, QueryTimeout.code).formatted]})

_NOTHING = VariableValues({}, {})

_reads = Counter("tournee_graphql_reads", "GraphQL queries over HTTP, by who answered.", ["lane"])


@cache
def _counter(lane: str) -> Counter:
    return _reads.labels(lane)


def _body(data: dict[str, Any], extensions: dict[str, Any] | None) -> bytes:
    body = {"data": data} if extensions is None else {"data": data, "extensions": extensions}
    return orjson.dumps(body, option=orjson.OPT_UTC_Z)


def _extensions(prepared: Prepared, asked: Asked, context: Context) -> dict[str, Any] | None:
    """Return what the answer says beside its data."""
    if not context.wants_cost:
        return None
    return {"cost": said(prepared.cost(asked.operation_name, asked.variables or {}), context)}


def _failed(error: Exception, context: Context) -> bytes | None:
    """Return the answer after an error; None where the executor has to answer."""
    if isinstance(cause_of(error), QueryTimeout):
        # The executor would take as long again.
        _counter("engine_timeout").inc()
        return _TIMEOUT
    if isinstance(error, (Doubt, GraphQLError, Rejected)):
        _counter("executor_doubt").inc()
        return None
    _counter("executor_failed").inc()
    if outage_of(error) is None:
        structlog.get_logger().error("reading_failed", request_id=context.request_id, exc_info=error)
    return None


class Reads:
    """Answers the queries that it understands, without the ordinary executor."""

    def __init__(self, kernel: Kernel, schema: GraphQLSchema, times: int = _TIMES) -> None:
        self.plans = Plans(MOST_BYTES)
        self._kernel = kernel
        self._schema = schema
        self._times = times
        # Of the documents that are kept; None for what is no query.
        self._operations: WeakKeyDictionary[Prepared, dict[str | None, Operation | None]] = (
            WeakKeyDictionary()
        )
        # Plans are made one at a time, beside the requests of everybody else.
        self._making: dict[Key, asyncio.Future[Plan | None]] = {}
        self._maker = ThreadPoolExecutor(1, "reading")

    async def answer(self, asked: Asked, context: Context) -> bytes | None:
        """Return the body of the answer; None where the executor has to answer."""
        prepared = prepare(self._schema, asked.query, not context.suggestions)
        operation = self._operation(prepared, asked.operation_name)
        if operation is None:
            return None
        try:
            answer = await self._answer(prepared, operation, asked, context)
        except Exception as error:  # noqa: BLE001 - the executor answers instead, and reports what fails there too
            return _failed(error, context)
        if answer is not None:
            _counter("engine").inc()
        return answer

    def _operation(self, prepared: Prepared, name: str | None) -> Operation | None:
        """Return the query that is asked for; None for anything else."""
        if prepared.document is None:
            return None
        known = self._operations.setdefault(prepared, {})
        if name not in known:
            node = get_operation_ast(prepared.document, name)
            if node is None:
                return None
            is_query = node.operation is OperationType.QUERY
            known[name] = Operation(self._schema, prepared.document, node) if is_query else None
        return known[name]

    async def _answer(
        self, prepared: Prepared, operation: Operation, asked: Asked, context: Context
    ) -> bytes | None:
        variables = asked.variables or {}
        if prepared.refusals(asked.operation_name, variables, context):
            raise Doubt("refused")
        if prepared.lacking(asked.operation_name, context):
            raise Doubt("some fields are forbidden")
        operation.times += 1
        if operation.times < self._times:
            _counter("executor_first").inc()
            return None
        given = self._read(operation, variables)
        plan = await self._plan(prepared, operation, given, context)
        if plan is None:
            _counter("executor_unmapped").inc()
            return None
        values = plan.values(given.coerced, context.actor)
        if not plan.parts:
            found = await self._kernel.ask(context.actor, plan.questions, values)
            return _body(plan.build(found), _extensions(prepared, asked, context))
        # The fields with resolvers read the same snapshot.
        executor = self._executor(prepared, asked, context)
        async with context.loading():
            found = await context.load.answers(plan.questions, values, plan.most_rows)
            data, waiting = plan.begin(found)
            await finish(plan.parts, waiting, executor, context)
        return _body(data, _extensions(prepared, asked, context))

    def _executor(self, prepared: Prepared, asked: Asked, context: Context) -> Executor[Any]:
        assert prepared.document is not None
        executor = Executor.build(
            self._schema,
            prepared.document,
            context_value=context,
            raw_variable_values=asked.variables,
            operation_name=asked.operation_name,
        )
        if isinstance(executor, list):
            raise Doubt("wrong variables")
        return executor

    def _read(self, operation: Operation, variables: dict[str, Any]) -> VariableValues:
        """Read the variables as their types say; raises Doubt for wrong ones."""
        if not operation.node.variable_definitions:
            return _NOTHING
        given = get_variable_values(self._schema, operation.node.variable_definitions, variables)
        if isinstance(given, list):
            raise Doubt("wrong variables")
        return given

    async def _plan(
        self, prepared: Prepared, operation: Operation, given: VariableValues, context: Context
    ) -> Plan | None:
        """Return the plan, made now if there is none; None if there can be none."""
        key = operation.key(given.coerced, context.actor)
        if key in self.plans:
            return self.plans.get(key)
        if any(size.fields > MOST_FIELDS for size in prepared.sizes.values()):
            return None
        if key not in self._making:
            make = partial(self._make, operation, given, context.actor)
            made = asyncio.get_running_loop().run_in_executor(self._maker, make)
            made.add_done_callback(lambda _: self._making.pop(key))
            self._making[key] = made
        plan = await asyncio.shield(self._making[key])
        # Making it may have shown what else a plan depends on.
        self.plans.keep(operation.key(given.coerced, context.actor), plan)
        return plan

    def _make(self, operation: Operation, given: VariableValues, actor: Actor) -> Plan | None:
        try:
            return operation.compile(given, actor, self._kernel)
        except (Doubt, GraphQLError, Rejected):
            return None
