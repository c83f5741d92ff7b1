"""Mutations: one field for each command, with input and result made from the command."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

import strawberry
from strawberry.types.field import StrawberryField

from tournee.api.context import Info
from tournee.api.inputs import input_type
from tournee.api.mapping import argument, make_field
from tournee.api.nodes import Nodes
from tournee.api.policies import Offline
from tournee.api.refusals import Refusal, refusal_type
from tournee.api.scalars import describe, graphql_type, optional
from tournee.kernel.command import Command
from tournee.kernel.entity import Entity
from tournee.kernel.errors import Refused
from tournee.kernel.fields import camel, fields
from tournee.kernel.inputs import Unset
from tournee.kernel.sentences import sentences
from tournee.kernel.values import wire_value


def mutation_fields(nodes: Nodes, commands: Iterable[Command[Any, Any]]) -> Iterable[StrawberryField]:
    """Return a field such as `completeAppointment(input:)` for each command."""
    refusal = refusal_type()
    for command in commands:
        name = command.name[0].upper() + command.name[1:]
        members: Any = Union[nodes.types[command.output], refusal]  # noqa: UP007 - made at run time
        yield make_field(
            command.name,
            Annotated[members, strawberry.union(f"{name}Result", description=_RESULT)],
            command.permission,
            resolver=_perform(command),
            arguments=[argument("input", _input_of(command), "The fields of the command.")],
            description=command.description,
            directives=[Offline()] if command.offline else [],
        )


def _perform(command: Command[Any, Any]) -> Callable[..., Awaitable[Any]]:
    async def resolve(info: Info, **given: Any) -> Any:
        context = info.context
        try:
            written = await context.kernel.perform(
                context.actor, command, command.parse(payload(given["input"]))
            )
        except Refused as refusal:
            return Refusal.of(refusal)
        await context.renew()
        # An actor who gives a record away no longer sees it, but may know the result.
        return await context.load.one(command.output, written.id) or written

    return resolve


_RESULT = "The command returns the changed record, or a refusal that says why nothing changed."


def _input_of(command: Any) -> Any:
    return command_input(command.input, command.output)


def payload(value: Any) -> Any:
    """Return the JSON values of an input, as a device would have sent it."""
    if isinstance(value, dict):
        return {name: payload(one) for name, one in value.items()}
    if isinstance(value, list):
        return [payload(one) for one in value]
    return wire_value(value)


@cache
def command_input(kind: Any, output: type[Entity] | None = None) -> Any:
    """`CompleteAppointmentInput` of the dataclass `CompleteAppointment`, nested ones too.

    A field that says nothing of itself is described as the field of that name in what the command answers.
    """
    inherited = {} if output is None else {field.name: field.description for field in fields(output)}
    own = {**inherited, **sentences(kind)}
    hints = typing.get_type_hints(kind, include_extras=True)
    annotations, descriptions = {}, {}
    for one in dataclasses.fields(kind):
        absent = one.default is not dataclasses.MISSING or one.default_factory is not dataclasses.MISSING
        inner, nullable = _bare(hints[one.name])
        known = graphql_type(inner, command_input)
        annotations[camel(one.name)] = optional(known) if absent or nullable else known
        descriptions[camel(one.name)] = one.metadata.get("description") or own.get(one.name)
    name = kind.__name__.removesuffix("Input")
    text = describe(kind) or f"The fields of `{name[0].lower()}{name[1:]}`."
    return input_type(f"{name}Input", annotations, text, descriptions=descriptions)


def _bare(annotation: Any) -> tuple[Any, bool]:
    """Return the type without Annotated, None and Unset, and whether null is allowed."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [_bare(part) for part in get_args(annotation) if part not in (Unset, type(None))]
        nullable = type(None) in get_args(annotation) or any(one for _, one in parts)
        return parts[0][0], nullable
    if get_origin(annotation) is list:
        return list[_bare(get_args(annotation)[0])[0]], False  # type: ignore[misc]
    return annotation, False
