"""The conflict inbox in GraphQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from strawberry.scalars import JSON

from tournee.api.context import Info
from tournee.api.nodes import NODE, ComputedField, Extras, Link
from tournee.api.scalars import optional
from tournee.api.values import value_type
from tournee.auth.models import Account
from tournee.conflicts.deciding import Situation
from tournee.conflicts.table import AvailableResolution, available_resolutions
from tournee.kernel.conflict import CONFLICTS_READ, Conflict
from tournee.kernel.entity import Entity
from tournee.kernel.registry import BY_NAME
from tournee.kernel.values import present


async def record(root: Conflict, info: Info) -> Entity | None:
    """The record that the conflict is about, as it is now."""
    return await info.context.load.node(root.record_id)


async def follow_up(root: Conflict, info: Info) -> Entity | None:
    """The record that was made to follow up."""
    return await info.context.load.node(root.follow_up_id)


async def _even_deleted(root: Conflict, info: Info) -> Entity | None:
    """Return the record, deleted or not, for actors who see the whole organisation."""
    model: Any = BY_NAME.get(root.entity)
    actor = info.context.actor
    if model is None or not actor.sees_all or not actor.may(model.reads):
        return None
    found = await info.context.load.related(
        f"even deleted {root.entity}",
        root.record_id,
        lambda ids: select(model.id, model).where(model.id.in_(ids)),
    )
    return found[0] if found else None


async def resolutions(root: Conflict, info: Info) -> list[AvailableResolution]:
    """The legal decisions, each with what prevents it now."""
    return available_resolutions(Situation(info.context.actor, root, await _even_deleted(root, info)))


async def stands_now(root: Conflict, info: Info) -> Any:
    """The disputed fields as they stand now; null for those who do not see the whole organisation.

    Where they differ from `standing`, the record has changed since the conflict was found.
    """
    row = await _even_deleted(root, info)
    return None if row is None else present(row, root.standing)


EXTRAS = Extras(
    links=(
        Link(Conflict, "actor_id", Account),
        Link(Conflict, "their_actor_id", Account),
        Link(Conflict, "resolved_by_id", Account),
    ),
    computed=(
        ComputedField(Conflict, record, NODE | None),
        ComputedField(Conflict, follow_up, NODE | None),
        ComputedField(Conflict, stands_now, optional(JSON)),
        ComputedField(
            Conflict,
            resolutions,
            list[value_type(AvailableResolution, CONFLICTS_READ)],  # type: ignore[misc]
            name="availableResolutions",
        ),
    ),
)
