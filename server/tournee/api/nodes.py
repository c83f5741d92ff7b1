"""Entity types, made from the entities: fields, relations to one row, and connections to many."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Union, get_args, get_origin

import strawberry

from tournee.api.connections import add_fields, connection_type, list_arguments, object_type
from tournee.api.context import Context, Info
from tournee.api.filters import relate
from tournee.api.groups import Through
from tournee.api.load import NamedAccount
from tournee.api.mapping import Column, Computed, Person, ToMany, ToOne, make_field
from tournee.api.pages import Arguments, Page
from tournee.api.policies import MergePolicy
from tournee.api.relations import declare
from tournee.api.scalars import describe, field_type, optional
from tournee.api.versions import version_fields
from tournee.auth.models import Account
from tournee.auth.permissions import ACCOUNT_SELF
from tournee.kernel.entity import Entity
from tournee.kernel.fields import camel, fields
from tournee.kernel.log import Change
from tournee.kernel.registry import BY_TABLE
from tournee.kernel.sentences import sentences
from tournee.sync.permissions import CHANGES_READ


@dataclass(frozen=True)
class ListName:
    """How the children that name a row by one of their columns are called on that row.

    `name` None leaves the list out.
    """

    child: type[Entity]
    column: str
    name: str | None


@dataclass(frozen=True)
class Link:
    """A column that names a row without being a foreign key, such as `author_id` an account."""

    model: type[Entity]
    column: str
    target: type[Entity]
    name: str | None = None


@dataclass(frozen=True)
class Batch:
    """A function `(context, rows)` that returns a value for each of many rows."""

    function: Callable[[Context, Sequence[Any]], Awaitable[Sequence[Any]]]

    def resolver(self) -> Callable[..., Any]:
        """Return a resolver of one row, which waits until the function is asked for all of the operation."""

        async def resolve(root: Any, info: Info) -> Any:
            return await info.context.load.together(self.function, info.context, root)

        return resolve


@dataclass(frozen=True)
class ComputedField:
    """A field that a function makes of a row: an ordinary Strawberry resolver `(root, info, …)`, or a batch.

    Its name, unless given, its arguments and description are the function's. `type` may hold entity
    classes in place of their GraphQL types. `needs` names the columns that it reads, where it
    needs nothing else.
    """

    model: type[Entity]
    function: Callable[..., Any] | Batch
    type: Any
    needs: tuple[str, ...] | None = None
    permission: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Extras:
    """What a domain adds to what its models declare."""

    lists: tuple[ListName, ...] = ()
    links: tuple[Link, ...] = ()
    computed: tuple[ComputedField, ...] = ()
    groups: tuple[Through, ...] = ()


def _node_interface() -> type[Any]:
    kind = strawberry.interface(
        type("Node", (), {}), name="Node", description="A record: anything that has an id."
    )
    add_fields(kind, make_field("id", strawberry.ID, ACCOUNT_SELF, description=sentences(Entity)["id"]))
    return kind


NODE = _node_interface()


def plural(name: str) -> str:
    """Turn `Site` into `sites`, `Territory` into `territories`, `WorkOrder` into `workOrders`."""
    name = name[0].lower() + name[1:]
    if re.search(r"[^aeiou]y$", name):
        return name[:-1] + "ies"
    return name + ("es" if re.search(r"(s|x|z|ch|sh)$", name) else "s")


def relation_name(column: str, target: type[Entity]) -> str:
    """Turn `site_id` into `site`; a relation that would be called as a field of every record has its
    target's name.
    """
    name = camel(column.removesuffix("_id"))
    return singular(target.__name__) if name in ("version", "history") else name


def singular(name: str) -> str:
    return name[0].lower() + name[1:]


def _rows(entity: type[Entity]) -> Any:
    return (Account, NamedAccount) if entity is Account else entity


# What everybody may read of an account that stands on a row they see.
_OPEN = {(Account, "id"), (Account, "name")}


@dataclass
class Nodes:
    """The types of all entities and of the log, with their connections."""

    entities: tuple[type[Entity], ...]
    types: dict[type[Any], type[Any]] = field(default_factory=dict)
    connections: dict[type[Any], type[Any]] = field(default_factory=dict)

    def declare(self) -> None:
        """Declare the types without fields: they refer to each other in cycles."""
        for entity in self.entities:
            self.types[entity] = object_type(entity.__name__, describe(entity), NODE, rows=_rows(entity))
            self.connections[entity] = connection_type(self.types[entity], entity.__name__, entity.reads)

    def complete(self, extras: Iterable[Extras]) -> None:
        """Add the fields: first what the models declare, then what the domains add."""
        extras = tuple(extras)
        names = {(one.child, one.column): one.name for extra in extras for one in extra.lists}
        for entity in self.entities:
            add_fields(self.types[entity], *self._own_fields(entity))
        for child, column, parent in self._references():
            name = names.get((child, column), _list_name(child, column))
            if name is not None:
                self._add(parent, self._list_field(name, child, column))
        for extra in extras:
            for link in extra.links:
                self._add(link.model, self._to_one(link.model, link.column, link.target, link.name))
            for computed in extra.computed:
                self._add(computed.model, self._computed(computed))
        for model, kind in self.types.items():
            declare(model, kind)
        relate(self.types)

    def _add(self, model: type[Any], made: Any) -> None:
        kind: Any = self.types[model]
        taken = {one.graphql_name for one in kind.__strawberry_definition__.fields}
        if made.graphql_name in taken:
            raise ValueError(f"{model.__name__} has two fields {made.graphql_name}: name one in api/.")
        add_fields(self.types[model], made)

    def _references(self) -> Iterable[tuple[type[Entity], str, type[Entity]]]:
        for child in self.entities:
            for one in fields(child):
                if one.references is not None and BY_TABLE[one.references] in self.types:
                    yield child, one.name, BY_TABLE[one.references]

    def _own_fields(self, entity: type[Entity]) -> Iterable[Any]:
        for one in fields(entity):
            if dataclasses.is_dataclass(one.of):
                # Its domain adds a field of that type.
                continue
            kind: Any = strawberry.ID if one.name == "id" else field_type(one)
            yield make_field(
                one.wire,
                kind,
                ACCOUNT_SELF if (entity, one.name) in _OPEN else one.permission or entity.reads,
                python_name=one.name,
                source=Column(entity, one.name),
                description=one.description,
                directives=[MergePolicy(policy=one.merge)],
            )
            target = BY_TABLE[one.references] if one.references else None
            if target in self.types and one.name.endswith("_id"):
                yield self._to_one(entity, one.name, target)
        if Account in self.types:
            yield from version_fields(entity, self.types[Account])
        yield make_field(
            "history",
            self.connections[Change],
            CHANGES_READ,
            source=ToMany(Change, "id"),
            resolver=_children(Change, "id"),
            arguments=list_arguments(Change),
            description="What changed in this record, field by field; for the office.",
        )

    def _to_one(self, entity: type[Entity], column: str, target: type[Any], name: str | None = None) -> Any:
        is_person = target is Account
        own = next(one for one in fields(entity) if one.name == column)

        async def resolve(root: Any, info: Info) -> Any:
            load, id = info.context.load, getattr(root, column)
            return await (load.person(id) if is_person else load.one(target, id))

        return make_field(
            name or relation_name(column, target),
            optional(self.types[target]),
            own.permission or entity.reads if is_person else target.reads,
            source=Person(entity, column, target) if is_person else ToOne(entity, column, target),
            resolver=resolve,
            description=own.description,
        )

    def _list_field(self, name: str, child: type[Any], column: str) -> Any:
        return make_field(
            name,
            self.connections[child],
            child.reads,
            source=ToMany(child, column),
            resolver=_children(child, column),
            arguments=list_arguments(child),
            description=f"The records whose `{camel(column)}` is this one, and that you may see.",
        )

    def _annotation(self, kind: Any) -> Any:
        if get_origin(kind) is list:
            return list[self._annotation(get_args(kind)[0])]  # type: ignore[misc]
        if get_origin(kind) in (Union, types.UnionType):
            return optional(self._annotation(get_args(kind)[0]))
        return self.types.get(kind, kind)

    def _computed(self, one: ComputedField) -> Any:
        batch = one.function.function if isinstance(one.function, Batch) else None
        resolver = one.function.resolver() if isinstance(one.function, Batch) else one.function
        described: Callable[..., Any] = batch or resolver
        name = one.name or camel(described.__name__)
        return make_field(
            name,
            self._annotation(one.type),
            one.permission or one.model.reads,
            source=Computed(one.needs, batch),
            resolver=resolver,
            description=describe(described),
            directives=[MergePolicy(policy=field.merge) for field in fields(one.model) if field.wire == name],
        )


def _children(child: type[Any], column: str) -> Callable[..., Awaitable[Page]]:
    async def resolve(root: Any, info: Info, **given: Any) -> Page:
        return await info.context.load.many(child, column, root.id, Arguments.of(child, given))

    return resolve


def _list_name(child: type[Entity], column: str) -> str:
    """Return the plural of the child; with the relation's name if the child names this parent twice."""
    target = next(one.references for one in fields(child) if one.name == column)
    same = [one for one in fields(child) if one.references == target]
    if len(same) == 1:
        return plural(child.__name__)
    return f"{plural(child.__name__)}By{camel('_' + column.removesuffix('_id'))}"
