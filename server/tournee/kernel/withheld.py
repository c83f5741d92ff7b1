"""Withheld fields: fields that need a permission beyond the record's. They are removed from everything that
others receive.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from tournee.kernel.actor import Actor, Permission
from tournee.kernel.fields import fields
from tournee.kernel.registry import BY_NAME


def withheld(actor: Actor) -> Mapping[str, frozenset[str]]:
    """Return, by entity, the wire names of the fields that the actor may not read; usually none."""
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
    """Return a document's values, or a list of field names, without the withheld ones."""
    hidden = withheld(actor).get(entity)
    if not hidden or values is None:
        return values
    if isinstance(values, dict):
        return {name: value for name, value in values.items() if name not in hidden}
    return [name for name in values if name not in hidden]


def shown(actor: Actor, entity: str, document: str) -> str:
    """Return the wire form of a record, as this actor may read it."""
    if entity not in withheld(actor):
        return document
    return orjson.dumps(without(actor, entity, orjson.loads(document))).decode()
