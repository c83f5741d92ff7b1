"""Fields with resolvers: the ordinary executor finishes them for the rows that the plan found.

The builder leaves null in the place of each, and says which row it belongs to. A resolver that names the
columns it needs gets a stand-in with only these; for the others, all rows of a model are fetched at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from inspect import getattr_static
from typing import Any, TypeAlias
from uuid import UUID

from graphql import (
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    get_argument_values,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.collect_fields import FieldDetails
from graphql.execution.executor import Executor
from graphql.pyutils import Path
from sqlalchemy import inspect

from tournee.api.context import Context
from tournee.api.mapping import Column, source_of
from tournee.api.reading.building import Code, dictionary
from tournee.api.reading.unknown import Doubt

# The object that waits for a value, the key of the value, the number of its `Part`, and the row: a stand-in,
# or an id.
Waiting: TypeAlias = tuple[dict[str, Any], str, int, Any]
Subfields: TypeAlias = Callable[[GraphQLObjectType, list[FieldDetails]], Mapping[str, list[FieldDetails]]]


@dataclass(frozen=True)
class Part:
    """One field of an operation that has a resolver."""

    kind: GraphQLObjectType
    definition: GraphQLField
    details: list[FieldDetails]
    # The model whose rows are fetched; None where stand-ins do.
    fetched: type[Any] | None
    # Makes JSON of what the resolver returns; None where graphql-core has to.
    complete: Callable[[Any], Any] | None
    # Returns the values of many rows at once.
    batch: Callable[..., Awaitable[Sequence[Any]]] | None


async def finish(
    parts: Sequence[Part], waiting: Sequence[Waiting], executor: Executor[Any], context: Context
) -> None:
    """Put the values where they belong. Raises Doubt for any error: the executor then reports it."""
    places: list[list[Waiting]] = [[] for _ in parts]
    for it in waiting:
        places[it[2]].append(it)
    finishers = [_Finisher(part, executor, context) for part in parts]
    # All of them end before the session does.
    together = (one.finish(those) for one, those in zip(finishers, places, strict=True) if those)
    for failed in await asyncio.gather(*together, return_exceptions=True):
        if failed is not None:
            raise failed
    if executor.collected_errors.errors:
        raise Doubt("a field failed")


class _Finisher:
    """Finishes one part for one request."""

    def __init__(self, part: Part, executor: Executor[Any], context: Context) -> None:
        self._part = part
        self._executor = executor
        self._context = context
        nodes = [one.node for one in part.details]
        name = nodes[0].name.value
        self._path = Path(None, name, part.kind.name)
        self._info = executor.build_resolve_info(part.definition, nodes, part.kind, self._path)
        self._arguments = get_argument_values(part.definition, nodes[0], executor.variable_values)

    async def finish(self, places: Sequence[Waiting]) -> None:
        part = self._part
        if part.batch is not None and part.complete is not None and part.fetched is None:
            values = await part.batch(self._context, [row for *_, row in places])
            for (holder, key, *_), value in zip(places, values, strict=True):
                holder[key] = part.complete(value)
            return
        found = await asyncio.gather(*(self._value(row) for *_, row in places), return_exceptions=True)
        for (holder, key, *_), value in zip(places, found, strict=True):
            if isinstance(value, BaseException):
                raise value
            holder[key] = value

    async def _value(self, row: Any) -> Any:
        part = self._part
        if part.fetched is not None:
            row = await self._context.load.one(part.fetched, UUID(row))
            if row is None:
                raise Doubt("a row is not there")
        if part.complete is None:
            found = self._executor.execute_field(part.kind, row, part.details, self._path, None)
            return await found if self._executor.is_awaitable(found) else found
        resolve = part.definition.resolve
        assert resolve is not None
        found = resolve(row, self._info, **self._arguments)
        return part.complete(await found if self._executor.is_awaitable(found) else found)


@lru_cache(200)
def stand_in(model: type[Any], names: tuple[str, ...]) -> type[Any]:
    """Return a class with the model's methods but only these of its columns: reading another one raises
    AttributeError.
    """
    mapped = inspect(model).all_orm_descriptors
    members = {
        name: getattr_static(model, name)
        for name in dir(model)
        if not name.startswith("_") and name not in mapped
    }

    def make(self: Any, *values: Any) -> None:
        for name, value in zip(names, values, strict=True):
            setattr(self, name, value)

    return type(model.__name__, (), {**members, "__slots__": names, "__init__": make})


def completion(
    kind: GraphQLOutputType, details: list[FieldDetails], subfields: Subfields
) -> Callable[[Any], Any] | None:
    """Return a function that makes JSON of a resolver's value, as graphql-core would, in a tenth of the time.
    It handles leaves, objects of which only leaves are read, and lists of these; None for anything else.
    """
    code = Code()
    try:
        source = _completed(kind, "value", details, subfields, code, iter(range(1_000)))
    except Doubt:
        return None
    code.function("complete", "value", f"return {source}")
    complete: Callable[[Any], Any] = code.made("complete")()
    return complete


def _completed(
    kind: GraphQLOutputType,
    value: str,
    details: list[FieldDetails],
    subfields: Subfields,
    code: Code,
    numbers: Iterator[int],
) -> str:
    if is_non_null_type(kind):
        made = _completed(kind.of_type, value, details, subfields, code, numbers)
        return f"{code.use(_given)}({made})"
    name = f"v{next(numbers)}"
    if is_list_type(kind):
        one = _completed(kind.of_type, name, details, subfields, code, numbers)
        return f"None if {value} is None else [{one} for {name} in {value}]"
    if is_leaf_type(kind):
        return f"None if {value} is None else {code.use(kind.coerce_output_value)}({value})"
    if not is_object_type(kind):
        raise Doubt(f"{kind} is no object")
    parts = {}
    for key, one_details in subfields(kind, details).items():
        field = one_details[0].node.name.value
        if field == "__typename":
            parts[key] = repr(kind.name)
            continue
        definition = kind.fields[field]
        own = definition.extensions.get("strawberry-definition")
        is_plain = isinstance(source_of(definition), Column | None)
        if not is_plain or own is None or own.base_resolver is not None:
            raise Doubt(f"{kind.name}.{field} is not plain")
        parts[key] = _completed(
            definition.type, f"{name}.{own.python_name}", one_details, subfields, code, numbers
        )
    return f"None if ({name} := {value}) is None else {dictionary(parts)}"


def _given(value: Any) -> Any:
    if value is None:
        raise Doubt("null")
    return value
