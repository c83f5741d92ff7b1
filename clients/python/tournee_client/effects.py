"""What an operation will presumably change: shown until the server has decided."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tournee_client.wire import Document, plain

_CONVENTION = re.compile(r"(create|update)([A-Z]\w*)")


@dataclass(frozen=True)
class Effect:
    """A patch on one row. A patch of `None` removes the row; `creates` makes it when it is missing."""

    entity: str
    id: str
    patch: Document | None
    creates: bool = False

    def plain(self) -> Effect:
        """Return the effect with its patch as plain JSON values."""
        return self if self.patch is None else replace(self, patch=plain(self.patch))


def derive(command: str, values: Document) -> tuple[Effect, ...]:
    """Return the effect of a `createX` or `updateX`; an empty tuple for any other command."""
    match = _CONVENTION.fullmatch(command)
    if match is None:
        return ()
    verb, entity = match.groups()
    key = "id" if verb == "create" else f"{entity[0].lower()}{entity[1:]}Id"
    if not isinstance(values.get(key), str):
        return ()
    patch = {name: value for name, value in values.items() if name != key}
    return (Effect(entity, values[key], patch, creates=verb == "create"),)


def overlay(row: Document | None, effects: Iterable[Effect]) -> Document | None:
    """Return the server's row with the effects applied; a patch alone does not bring a removed row back."""
    for effect in effects:
        if effect.patch is None:
            row = None
        elif row is not None:
            row = {**row, **effect.patch}
        elif effect.creates:
            row = {"id": effect.id, **effect.patch}
    return row
