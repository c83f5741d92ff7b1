"""The schema, made once from the catalogue and from what the modules of `api/` add."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Iterable
from functools import cache
from typing import Any

import strawberry
from graphql import GraphQLError, MiddlewareManager
from strawberry.printer import print_schema
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types import ExecutionResult
from strawberry.types.execution import PreExecutionError
from strawberry.utils.aio import aclosing

from tournee.api import assets, conflicts, customers, devices, people, procedures, quality, stock, work
from tournee.api.bulk import bulk_field
from tournee.api.changes import change_fields, declare_changes
from tournee.api.clocks import clock_fields
from tournee.api.connections import add_fields, object_type
from tournee.api.contract import contract_field
from tournee.api.documents import DocumentRefused, Preparation
from tournee.api.errors import MOST_ERRORS, present
from tournee.api.history import complete_changes, history_fields
from tournee.api.live import live_fields
from tournee.api.me import me_field
from tournee.api.mutations import mutation_fields, refusal_for
from tournee.api.nodes import NODE, Extras, Nodes
from tournee.api.permissions import only_permitted
from tournee.api.queries import query_fields
from tournee.api.scalars import SCALARS
from tournee.api.search import search_field
from tournee.api.sight import sight_field
from tournee.api.stats import stats_fields
from tournee.api.subscriptions import subscription_fields
from tournee.api.webhooks import delivery_fields
from tournee.catalogue import COMMANDS, ENTITIES
from tournee.kernel.command import Command
from tournee.kernel.entity import Entity

EXTRAS: tuple[Extras, ...] = tuple(
    domain.EXTRAS
    for domain in (people, customers, assets, procedures, stock, work, quality, conflicts, devices)
)


class Schema(strawberry.Schema):
    """Strawberry's schema, whose errors leave it only in the form that clients may see."""

    def process_errors(self, errors: Any, execution_context: Any = None) -> None:
        """`present` logs what is worth logging."""

    async def execute(self, *args: Any, **options: Any) -> ExecutionResult:
        result = await super().execute(*args, **options)
        presented: ExecutionResult = _presented(result, options["context_value"].request_id)
        return presented

    async def stream(self, *args: Any, **options: Any) -> AsyncGenerator[Any, None]:
        source = await super().stream(*args, **options)
        return _stream(source, options["context_value"].request_id)


async def _stream(source: Any, request_id: str) -> AsyncGenerator[Any, None]:
    try:
        async with aclosing(source):
            async for result in source:
                yield _presented(result, request_id)
    except Exception as error:  # noqa: BLE001 - a stream can report its failure only as a result
        failed = GraphQLError(str(error), original_error=error)
        yield _presented(PreExecutionError(data=None, errors=[failed]), request_id)


def _presented(result: Any, request_id: str) -> Any:
    if result.errors:
        refused = result.errors[0].original_error
        errors = refused.errors if isinstance(refused, DocumentRefused) else result.errors
        result.errors = present(errors, request_id)
    return result


class Executor(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor, which reveals no more about variables than about a document."""

    @classmethod
    def build(cls, *args: Any, **options: Any) -> Any:
        given = _BUILD.bind(*args, **options)
        hidden = not given.arguments["context_value"].suggestions
        given.arguments.update(max_coercion_errors=MOST_ERRORS - 1, hide_suggestions=hidden)
        if given.arguments["context_value"].checks_fields:
            others = getattr(given.arguments.get("middleware"), "middlewares", ())
            given.arguments["middleware"] = MiddlewareManager(only_permitted, *others)
        return super().build(*given.args, **given.kwargs)


_BUILD = inspect.signature(StrawberryGraphQLCoreExecutionContext.build)


def build(
    entities: Iterable[type[Entity]], commands: Iterable[Command[Any, Any]], extras: Iterable[Extras] = ()
) -> Schema:
    """A schema of these entities and commands."""
    nodes = Nodes(tuple(entities))
    nodes.declare()
    declare_changes(nodes)
    extras = tuple(extras)
    nodes.complete((*extras, clock_fields(nodes.entities)))
    complete_changes(nodes)
    query = object_type("Query", "The queries.")
    add_fields(
        query,
        me_field(nodes),
        contract_field(),
        sight_field(),
        search_field(),
        *query_fields(nodes),
        *change_fields(nodes),
        *history_fields(nodes),
        *stats_fields(nodes.entities, tuple(one for extra in extras for one in extra.groups)),
        *delivery_fields(),
    )
    mutation = object_type(
        "Mutation", "The commands. A device queues the same commands offline, under the same names."
    )
    commands, refusal = tuple(commands), refusal_for(nodes)
    add_fields(mutation, *mutation_fields(nodes, commands, refusal), bulk_field(commands, NODE, refusal))
    subscription = object_type("Subscription", "The subscriptions.")
    add_fields(subscription, *subscription_fields(nodes), *live_fields(nodes))
    return Schema(
        query=query,
        mutation=mutation,
        subscription=subscription,
        types=list(nodes.types.values()),
        config=StrawberryConfig(scalar_map=SCALARS),
        extensions=[Preparation],
        execution_context_class=Executor,
    )


@cache
def schema() -> Schema:
    """Return the schema of the whole catalogue."""
    return build(ENTITIES.values(), COMMANDS.values(), EXTRAS)


def sdl() -> str:
    """Return the content of schema/schema.graphql."""
    return print_schema(schema()) + "\n"
