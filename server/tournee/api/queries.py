"""The roots of queries: one row, lists of rows, any record, and the actor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import strawberry
from strawberry.types.field import StrawberryField

from tournee.api.connections import list_arguments
from tournee.api.context import Info
from tournee.api.mapping import Listing, Single, argument, make_field
from tournee.api.nodes import NODE, Nodes, plural, singular
from tournee.api.pages import Arguments, Page
from tournee.api.scalars import optional, parse_id
from tournee.auth.permissions import ACCOUNT_SELF
from tournee.kernel.entity import Entity


def query_fields(nodes: Nodes) -> Iterable[StrawberryField]:
    """Return `customer(id:)` and `customers(…)` for each entity, and `node(id:)`."""
    yield make_field(
        "node",
        optional(NODE),
        ACCOUNT_SELF,
        resolver=_node,
        arguments=[argument("id", strawberry.ID, "The record's id.")],
        description="The record with this id, of any type; null if there is none that you may see.",
    )
    for entity in nodes.entities:
        yield make_field(
            singular(entity.__name__),
            optional(nodes.types[entity]),
            entity.reads,
            source=Single(entity),
            resolver=_single(entity),
            arguments=[argument("id", strawberry.ID, "The record's id.")],
            description="The record with this id; null if there is none that you may see.",
        )
        yield make_field(
            plural(entity.__name__),
            nodes.connections[entity],
            entity.reads,
            source=Listing(entity),
            resolver=listing(entity),
            arguments=list_arguments(entity),
            description="The records of this type that you may see, one page at a time.",
        )


async def _node(info: Info, id: str) -> Any:
    return await info.context.load.node(parse_id(id))


def _single(entity: type[Entity]) -> Callable[..., Awaitable[Any]]:
    async def resolve(info: Info, id: str) -> Any:
        return await info.context.load.one(entity, parse_id(id))

    return resolve


def listing(model: type[Any]) -> Callable[..., Awaitable[Page]]:
    """Make the resolver of a connection of all rows of a model."""

    async def resolve(info: Info, **given: Any) -> Page:
        return await info.context.load.page(model, Arguments.of(model, given))

    return resolve
