"""The conflict inbox in GraphQL."""

from __future__ import annotations

from tournee.api.context import Info
from tournee.api.nodes import NODE, ComputedField, Extras, Link
from tournee.auth.models import Account
from tournee.kernel.conflict import Conflict
from tournee.kernel.database import Entity


async def record(root: Conflict, info: Info) -> Entity | None:
    """The record that the clash is about, as it stands now."""
    return await info.context.load.node(root.record_id)


EXTRAS = Extras(
    links=(Link(Conflict, "actor_id", Account), Link(Conflict, "resolved_by_id", Account)),
    computed=(ComputedField(Conflict, record, NODE | None),),
)
