"""Flushing: write the rows that commands changed, all of one kind in one statement.

The unit of work would send a statement for each row. Entities are written here instead, and the unit of work
learns that they are stored. It still writes everything else, and everything on SQLite.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm.attributes import instance_state

from tournee.engine.codec import PLAIN
from tournee.engine.database import WriteSession, require_command
from tournee.engine.pipelining import Pipeline
from tournee.engine.statements import OrganisationSession, Statements
from tournee.kernel.entity import Entity

_KEY = ("id",)


async def write_entities(
    session: OrganisationSession, pipeline: Pipeline, *, last: bool = False
) -> set[Entity]:
    """Write the new and changed entities of a session; returns those that were, the last still under way.
    On SQLite the unit of work writes them all: a statement for each row costs next to nothing there.

    After the `last` flush before the commit the session forgets its rows: nothing asks it any more.
    """
    own = session.sync_session
    assert isinstance(own, WriteSession)
    if session.statements.in_process:
        return set()
    waiting: list[Entity] = []
    if last:
        waiting = _plain_ones(own.waiting)
        own.waiting = [row for row in own.waiting if not _columns(type(row))]
    own.take_up()
    added = _plain_ones(own.new)
    changed = _plain_ones(own.dirty)
    if not waiting and not added and not changed:
        return set()
    require_command(own, (*waiting, *added, *changed))
    await _insert(session.statements, [*added, *waiting], pipeline)
    await _update(session.statements, changed, pipeline)
    if last and not (own.waiting or len(added) < len(own.new) or len(changed) < len(own.dirty)):
        own.expunge_all()
        return {*waiting, *added, *changed}
    for row in added:
        own.take_as_stored(row, is_new=True)
    for row in changed:
        own.take_as_stored(row, is_new=False)
    return {*waiting, *added, *changed}


def _plain_ones(rows: Iterable[Any]) -> list[Entity]:
    return [row for row in rows if isinstance(row, Entity) and _columns(type(row))]


async def _insert(statements: Statements, added: list[Entity], pipeline: Pipeline) -> None:
    kinds: defaultdict[type[Entity], list[dict[str, Any]]] = defaultdict(list)
    for row in added:
        held = vars(row)
        # It is null in the database now, so reading it must not ask the database.
        kinds[type(row)].append(
            {column: held.setdefault(name, None) for name, column in _columns(type(row)).items()}
        )
    for kind, rows in kinds.items():
        await pipeline.send(statements.insert_many(kind.__table__, rows))


async def _update(statements: Statements, changed: list[Entity], pipeline: Pipeline) -> None:
    kinds: defaultdict[tuple[type[Entity], tuple[str, ...]], list[dict[str, Any]]] = defaultdict(list)
    for row in changed:
        kind, held = type(row), vars(row)
        earlier = instance_state(row).committed_state
        names = tuple(sorted(name for name, value in earlier.items() if value != held[name]))
        columns = _columns(kind)
        if names:
            kinds[kind, names].append({"id": row.id, **{columns[name]: held[name] for name in names}})
    for (kind, _names), rows in kinds.items():
        await pipeline.send(statements.update_many(kind.__table__, _KEY, rows))


@cache
def _columns(kind: type[Entity]) -> dict[str, str]:
    """Return attributes with their columns, without the organisation; empty if a type is not plain."""
    table: Table = kind.__table__  # type: ignore[assignment]
    if not all(isinstance(column.type, PLAIN) for column in table.columns):
        return {}
    attributes = kind.__mapper__.column_attrs
    return {a.key: a.columns[0].name for a in attributes if a.key != "organisation_id"}
