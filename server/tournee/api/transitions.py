"""What may become of a record: the states that may follow, and why one may not yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from tournee.api.connections import add_fields, object_type
from tournee.api.context import Context, Info
from tournee.api.mapping import make_field
from tournee.api.nodes import Batch
from tournee.auth.permissions import ACCOUNT_SELF
from tournee.kernel.actor import Actor, lacks
from tournee.kernel.command import Command
from tournee.kernel.reader import Guard
from tournee.kernel.state import Transition


def _transition_type() -> type[Any]:
    kind = object_type("Transition", "A status that may follow.")
    own = ACCOUNT_SELF
    add_fields(
        kind,
        make_field("to", str, own, description="The status."),
        make_field("allowed", bool, own, description="Whether nothing prevents it."),
        make_field(
            "blockedBy",
            list[str],
            own,
            python_name="blocked_by",
            description="What has to be done first, in sentences.",
        ),
    )
    return kind


TRANSITION = _transition_type()
TRANSITIONS: Any = list[TRANSITION]  # type: ignore[valid-type]


# The commands that lead to a status, or to a status from a certain other one.
Ways = Mapping[StrEnum | tuple[StrEnum, StrEnum], tuple[Command[Any, Any], ...]]


def for_actor(
    actor: Actor, current: StrEnum, transitions: Iterable[Transition], ways: Ways
) -> list[Transition]:
    """The same, with a reason against what the actor's role may not do."""
    return [_for_actor(actor, current, transition, ways) for transition in transitions]


def _for_actor(actor: Actor, current: StrEnum, transition: Transition, ways: Ways) -> Transition:
    to = type(current)(transition.to)
    needed = [command.permission for command in ways.get((current, to), ()) or ways[to]]
    if any(actor.may(permission) for permission in needed):
        return transition
    return Transition(transition.to, allowed=False, blocked_by=[lacks(needed[0]), *transition.blocked_by])


def by_guard(ways: Ways, guard: Guard) -> Batch:
    """Return the field of an entity for which a guard of its domain reads what blocks each status."""

    async def available_transitions(context: Context, rows: Sequence[Any]) -> list[list[Transition]]:
        """The statuses that may follow now, and what blocks each of them for you."""
        found = await guard(context.load, context.actor, rows)
        return [
            for_actor(context.actor, row.status, following, ways)
            for row, following in zip(rows, found, strict=True)
        ]

    return Batch(available_transitions)


def by_row(ways: Ways) -> Callable[..., list[Transition]]:
    """The resolver where the row itself knows what may follow."""

    def available_transitions(root: Any, info: Info) -> list[Transition]:
        """The statuses that may follow now, and what blocks each of them for you."""
        return for_actor(info.context.actor, root.status, root.transitions(), ways)

    return available_transitions
