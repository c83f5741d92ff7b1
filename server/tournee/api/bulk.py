"""`bulk`: many commands in one request."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from strawberry.types.field import StrawberryField

from tournee.api.connections import add_fields, object_type
from tournee.api.context import Info
from tournee.api.errors import LimitExceeded
from tournee.api.inputs import input_type
from tournee.api.mapping import argument, make_field
from tournee.api.mutations import expected_of, input_of, once_of, payload, refusal_of
from tournee.api.scalars import enumeration, optional
from tournee.auth.permissions import ACCOUNT_SELF
from tournee.kernel.command import Command
from tournee.kernel.entity import Entity
from tournee.kernel.errors import Refused
from tournee.kernel.together import ErrorPolicy, Order, perform_together

MOST_COMMANDS = 100


class _Done(NamedTuple):
    """The outcome of one command."""

    record: Any = None
    refusal: Any = None


def bulk_field(commands: Iterable[Command[Any, Any]], node: Any, refusal: Any) -> StrawberryField:
    """Return `bulk(commands:, policy:)`, for all commands but those that the server's log records."""
    known = {command.name: command for command in commands if not command.logged}
    inputs = {name: optional(input_of(command)) for name, command in known.items()}
    descriptions = {name: command.description for name, command in known.items()}
    one = input_type("BulkCommand", inputs, _COMMAND, one_of=True, descriptions=descriptions)
    own = ACCOUNT_SELF
    result = object_type("BulkResult", "The outcome of one command: a record or a refusal.", rows=_Done)
    add_fields(
        result,
        make_field("record", optional(node), own, description=_RECORD),
        make_field("refusal", optional(refusal), own, description=_REFUSAL),
    )

    async def resolve(info: Info, commands: Any, policy: Any) -> list[_Done]:
        return await _perform(info, known, commands, ErrorPolicy(policy))

    return make_field(
        "bulk",
        list[result],  # type: ignore[valid-type]
        own,
        resolver=resolve,
        arguments=[
            argument("commands", list[one], f"The commands, in order; at most {MOST_COMMANDS}."),  # type: ignore[valid-type]
            argument("policy", enumeration(ErrorPolicy), "What happens to the others if one is refused."),
        ],
        description="Run several commands in one transaction. The results come in the order of the commands."
        " Each command needs the permission of its mutation.",
    )


_COMMAND = "One command: the name of a mutation, and its input."
_RECORD = "The changed record; null if the command was refused."
_REFUSAL = "Why the command was refused; null if it was not."


async def _perform(
    info: Info, known: dict[str, Command[Any, Any]], given: list[dict[str, Any]], policy: ErrorPolicy
) -> list[_Done]:
    if len(given) > MOST_COMMANDS:
        raise LimitExceeded(f"`bulk` runs at most {MOST_COMMANDS} commands at once.")
    context = info.context
    orders = [_read(known[name], value) for one in given for name, value in one.items()]
    done = await perform_together(context.kernel, context.actor, orders, policy, once_of(info))
    await context.renew()
    return [await _shown(info, one) for one in done]


def _read(command: Command[Any, Any], value: Any) -> Order | Refused:
    values = payload(value)
    try:
        expected = expected_of(command, values)
        return Order(command, command.parse(values), expected)
    except Refused as refusal:
        return refusal


async def _shown(info: Info, one: Entity | Refused) -> _Done:
    if isinstance(one, Refused):
        return _Done(refusal=await refusal_of(info, one))
    return _Done(record=await info.context.load.one(type(one), one.id) or one)
