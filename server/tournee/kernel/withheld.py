"""Fields that not everybody reads who reads the record: taken out of whatever leaves for the others."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from tournee.kernel.actor import Actor, Permission
from tournee.kernel.fields import fields
from tournee.kernel.registry import BY_NAME


def withheld(actor: Actor) -> Mapping[str, frozenset[str]]:
    """By entity, the wire names of what the actor may not read; almost nobody has any."""
    return _withheld(actor.permissions)


@lru_cache
def _withheld(permissions: frozenset[Permission]) -> Mapping[str, frozenset[str]]:
    found = {
        name: frozenset(
            one.wire
            for one in fields(model)
            if one.permission is not None and one.permission not in permissions
        )
        for name, model in BY_NAME.items()
    }
    return {name: names for name, names in found.items() if names}


def without(actor: Actor, entity: str, values: Any) -> Any:
    """A document's values, or the names of its fields, but for those."""
    hidden = withheld(actor).get(entity)
    if not hidden or values is None:
        return values
    if isinstance(values, dict):
        return {name: value for name, value in values.items() if name not in hidden}
    return [name for name in values if name not in hidden]


def shown(actor: Actor, entity: str, document: str) -> str:
    """The wire form of a record for this actor."""
    if entity not in withheld(actor):
        return document
    return orjson.dumps(without(actor, entity, orjson.loads(document))).decode()
