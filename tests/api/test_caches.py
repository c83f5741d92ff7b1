"""The normalised caches of GraphQL clients: one key never holds two different things.

Apollo and Graphcache know an object by its type and id, Relay by its id alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any
from uuid import UUID

import pytest
from graphql import GraphQLNonNull, GraphQLObjectType, get_named_type, is_leaf_type

from tests.support.ask import answer
from tests.support.house import House
from tournee.api.context import Context
from tournee.api.nodes import plural
from tournee.api.permissions import permission_of
from tournee.api.schema import schema
from tournee.catalogue import ENTITIES
from tournee.kernel.actor import Actor
from tournee.sync.pull.cursor import Cursor
from tournee.sync.pull.feed import Feed
from tournee.sync.pull.position import write_position

Key = Callable[[dict[str, Any]], Any]
BY_TYPE_AND_ID: Key = lambda one: (one["__typename"], one["id"])  # noqa: E731
BY_ID: Key = lambda one: one["id"]  # noqa: E731


def fields_of(kind: Any, actor: Actor, depth: int) -> str:
    """Return a selection of what the actor may read: values, and objects so many steps away."""
    parts = ["__typename"]
    if kind.name == "Account" and depth == 0 and not actor.sees_all:
        return "__typename id name"
    for name, definition in kind.fields.items():
        inner = get_named_type(definition.type)
        permission: Any = permission_of(CORE, kind.name, name)
        if not actor.may(permission) or any(
            isinstance(one.type, GraphQLNonNull) for one in definition.args.values()
        ):
            continue
        if is_leaf_type(inner):
            parts.append(name)
        elif not isinstance(inner, GraphQLObjectType):
            continue
        elif name == "history" and depth:
            parts.append(f"history(first: 5) {{nodes {{{fields_of(CHANGE, actor, 0)}}}}}")
        elif not inner.name.endswith("Connection") and ("id" not in inner.fields or depth):
            parts.append(f"{name} {{{fields_of(inner, actor, depth - 1)}}}")
    return " ".join(parts)


CORE = schema()._schema
CHANGE: Any = CORE.type_map["Change"]


def queries(actor: Actor) -> Iterable[str]:
    yield f"{{me {{{fields_of(CORE.type_map['Me'], actor, 1)}}}}}"
    for name, entity in ENTITIES.items():
        if actor.may(entity.reads):
            yield f"{{{plural(name)}(first: 20) {{nodes {{{fields_of(CORE.type_map[name], actor, 1)}}}}}}}"
    yield f"{{changes(last: 200) {{nodes {{{fields_of(CHANGE, actor, 1)}}}}}}}"


async def subscribed(house: House, actor: Actor) -> AsyncGenerator[Any, None]:
    """Yield every change from the beginning, as this actor receives them live."""
    feed = Feed(house.database, tuple(ENTITIES.values()))
    context = Context(house.kernel, actor, feed)
    since = write_position(Cursor(await context.load.epoch(), 0, UUID(int=0)))
    await context.load.close()
    document = f'subscription {{changes(since: "{since}") {{{fields_of(CHANGE, actor, 0)}}}}}'
    stream: Any = await schema().subscribe(document, context_value=context)
    async with aclosing(stream):
        async for result in stream:
            assert not result.errors, result.errors
            yield result.data
            if result.data["changes"]["seq"] >= await house.seq() - 1:
                return


class Cache:
    """What one client knows: the fields of each object, each object stored once."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self.objects: dict[Any, dict[str, Any]] = {}
        self.torn: set[str] = set()

    def write(self, value: Any) -> Any:
        """Store an answer; return what stands in its place."""
        if isinstance(value, list):
            return [self.write(one) for one in value]
        if not isinstance(value, dict):
            return value
        fields = {name: self.write(one) for name, one in value.items()}
        if "id" not in value or "__typename" not in value:
            return fields
        known = self.objects.setdefault(self._key(value), {})
        for name, one in fields.items():
            if known.setdefault(name, one) != one:
                self.torn.add(f"{value['__typename']}.{name}: {known[name]} and {one} of {value['id']}")
        return {"__ref": self._key(value)}


@pytest.mark.slow("It reads every field of every type of the demo.")
@pytest.mark.parametrize("role", ["MANAGER", "TECHNICIAN"])
async def test_no_two_objects_share_a_key(houses: tuple[House, House], role: str) -> None:
    actor = houses[0].actor(role)
    caches = Cache(BY_TYPE_AND_ID), Cache(BY_ID)
    for document in queries(actor):
        found = await answer(houses[0], document, actor)
        assert not found.errors, found.errors
        for cache in caches:
            cache.write(found.data)
    async with aclosing(subscribed(houses[0], actor)) as live:
        async for data in live:
            for cache in caches:
                cache.write(data)
    for cache in caches:
        assert not cache.torn
    kinds = {one["__typename"] for one in caches[0].objects.values()}
    if role == "MANAGER":
        with_id = {
            name
            for name, kind in CORE.type_map.items()
            if isinstance(kind, GraphQLObjectType) and "id" in kind.fields
        }
        assert kinds >= with_id


async def test_changes_of_one_record_are_several_objects(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo")
    await house.run("updateCustomer", customerId=customer.id, phone="1")
    document = "query($id: ID!) {changes {nodes {id recordId}} node(id: $id) {__typename}}"
    found = await answer(house, document, id=str(customer.id))
    ids = {one["id"]: one["recordId"] for one in found.data["changes"]["nodes"]}
    assert list(ids.values()) == [str(customer.id)] * 2
    assert str(customer.id) not in ids
    assert found.data["node"] == {"__typename": "Customer"}
    assert (await answer(house, document, id=next(iter(ids)))).data["node"] is None
