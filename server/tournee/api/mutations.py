"""Mutations: one field for each command, with input and result made from the command."""

from __future__ import annotations

import dataclasses
import hashlib
import types
import typing
from collections.abc import Awaitable, Callable, Iterable
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

import strawberry
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.field import StrawberryField

from tournee.api.context import Info
from tournee.api.inputs import input_type
from tournee.api.mapping import argument, make_field
from tournee.api.nodes import NODE, Nodes
from tournee.api.policies import Offline
from tournee.api.refusals import Refusal, refusal_type
from tournee.api.scalars import Long, describe, graphql_type, optional, parse_id
from tournee.api.versions import Current, current_type
from tournee.auth.models import Account
from tournee.kernel.command import Command
from tournee.kernel.entity import Entity
from tournee.kernel.errors import Outdated, Refused
from tournee.kernel.fields import camel, fields
from tournee.kernel.inputs import Unset
from tournee.kernel.once import Once
from tournee.kernel.operation import Expected
from tournee.kernel.registry import Plain
from tournee.kernel.sentences import sentences
from tournee.kernel.values import wire_value


def refusal_for(nodes: Nodes) -> Any:
    """Make the type `Refusal`."""
    return refusal_type(current_type(nodes.types[Account], NODE))


def mutation_fields(
    nodes: Nodes, commands: Iterable[Command[Any, Any]], refusal: Any
) -> Iterable[StrawberryField]:
    """Return a field such as `completeAppointment(input:)` for each command."""
    for command in commands:
        name = command.name[0].upper() + command.name[1:]
        members: Any = Union[nodes.types[command.output], refusal]  # noqa: UP007 - made at run time
        yield make_field(
            command.name,
            Annotated[members, strawberry.union(f"{name}Result", description=_RESULT)],
            command.permission,
            resolver=_perform(command),
            arguments=[argument("input", input_of(command), "The fields of the command.")],
            description=command.description,
            directives=[Offline()] if command.offline else [],
        )


def _perform(command: Command[Any, Any]) -> Callable[..., Awaitable[Any]]:
    async def resolve(info: Info, **given: Any) -> Any:
        context = info.context
        values = payload(given["input"])
        try:
            expected = expected_of(command, values)
            written = await context.kernel.perform(
                context.actor, command, command.parse(values), expected=expected, once=once_of(info)
            )
        except Refused as refusal:
            return await refusal_of(info, refusal)
        await context.renew()
        # An actor who gives a record away no longer sees it, but may know the result.
        return await context.load.one(command.output, written.id) or written

    return resolve


async def refusal_of(info: Info, refused: Refused) -> Refusal:
    """Return a refusal as data. `STALE` for an expected version shows the record as it is now."""
    if not isinstance(refused, Outdated):
        return Refusal.of(refused)
    await info.context.renew()
    old = refused.row
    return Refusal.of(refused, Current(await info.context.load.one(type(old), old.id) or old))


def once_of(info: Info) -> Once | None:
    """Return the key of this mutation, if its request has one."""
    if info.context.idempotency is None:
        return None
    key, body = info.context.idempotency
    place = hashlib.sha256(str(info.path.key).encode()).hexdigest()
    return Once(key, place, body)


_EXPECTED = "expectedVersion"


def _key(command: Command[Any, Any]) -> str | None:
    """Return the input field that names the record which the command changes; None if it creates one.

    It has the record's name, or the end of it: `versionId` of a `ChecklistVersion`.
    """
    if command.plain is Plain.CREATE:
        return None
    table = f"_{command.output.__tablename__}"
    names = [one.name for one in dataclasses.fields(command.input)]
    keys = (name for name in names if name.endswith("_id") and table.endswith(f"_{name.removesuffix('_id')}"))
    return next(keys, None)


def expected_of(command: Command[Any, Any], values: dict[str, Any]) -> Expected | None:
    """Take the version that the client expects out of the input."""
    version = values.pop(_EXPECTED, None)
    key = _key(command)
    id = parse_id(values.get(camel(key))) if key else None
    if version is None or key is None or id is None:
        return None
    return Expected(command.output, id, version, camel(key))


_RESULT = "The command returns the changed record, or a refusal that says why nothing changed."


def input_of(command: Any) -> Any:
    made = command_input(command.input, command.output)
    if _key(command) is not None:
        field = StrawberryField(
            python_name=_EXPECTED,
            graphql_name=_EXPECTED,
            type_annotation=StrawberryAnnotation(optional(Long)),
            description=_VERSION,
            origin=made,
        )
        made.__strawberry_definition__.fields.append(field)
    return made


_VERSION = (
    "The `version` that the record must have. If it has another, the command is refused with `STALE`, and"
    " the refusal shows the record as it is now. Null accepts any version."
)


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
