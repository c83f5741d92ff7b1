"""Rules that look at more than one row, and plain commands that obey them."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, select

from tournee.kernel.actor import Actor
from tournee.kernel.command import Command
from tournee.kernel.entity import Entity
from tournee.kernel.errors import Invalid
from tournee.kernel.transaction import Transaction

EntityT = TypeVar("EntityT", bound=Entity)
Rule = Callable[[Transaction, EntityT], Awaitable[None]]


def obeying(plain: Command[Any, EntityT], *rules: Rule[EntityT]) -> Command[Any, EntityT]:
    """Return the command followed by rules, which may refuse what it did to the row."""

    async def function(tx: Transaction, actor: Actor, do: Any) -> EntityT:
        row = await plain(tx, actor, do)
        for rule in rules:
            await rule(tx, row)
        return row

    return dataclasses.replace(plain, function=function)


async def is_held_by_another(tx: Transaction, row: Entity, *conditions: ColumnElement[bool]) -> bool:
    """Return whether another row of this kind, deleted or not, meets the conditions.

    Ask before writing the row: the unique index would refuse it too, but without naming the field.
    """
    model: Any = type(row)
    with tx.session.no_autoflush:
        other = select(model.id).where(model.id != row.id, *conditions).limit(1)
        return await tx.session.scalar(other) is not None


async def not_its_own_ancestor(tx: Transaction, row: Entity) -> None:
    """Refuse a `parent_id` that leads back to the row.

    Each ancestor is locked, so that two moves at the same time cannot form a cycle together.
    """
    model: Any = type(row)
    child: Any = row
    passed: set[UUID] = set()
    while child is not None and child.parent_id is not None:
        passed.add(child.id)
        if child.parent_id in passed:
            raise Invalid("A record cannot be below itself.", "parentId")
        found = await tx.all(select(model).where(model.id == child.parent_id))
        child = found[0] if found else None
