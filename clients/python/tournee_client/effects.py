"""What an operation will presumably change, shown until the server has decided."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tournee_client.wire import Document, plain

_CONVENTION = re.compile(r"(create|update)([A-Z]\w*)")


@dataclass(frozen=True)
class Effect:
    """A patch on one row; `None` removes the row, `creates` makes it when it is not there."""

    entity: str
    id: str
    patch: Document | None
    creates: bool = False

    def plain(self) -> Effect:
        """Return it as it can be kept."""
        return self if self.patch is None else replace(self, patch=plain(self.patch))


def derive(command: str, values: Document) -> tuple[Effect, ...]:
    """Return the effect of a plain `createX` or `updateX`, nothing for any other command."""
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
    """Replay effects over what the server last said; a change to a row that is gone shows nothing."""
    for effect in effects:
        if effect.patch is None:
            row = None
        elif row is not None:
            row = {**row, **effect.patch}
        elif effect.creates:
            row = {"id": effect.id, **effect.patch}
    return row
