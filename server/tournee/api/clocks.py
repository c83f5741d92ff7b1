"""`clockSuspect`: which times of a record cannot have been right when the server received them.

The log knows when that was, field by field, so the flag also holds for times stored before it existed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import select

from tournee.api.context import Info
from tournee.api.nodes import ComputedField, Extras
from tournee.api.scalars import optional
from tournee.kernel.command import COMMANDS_BY_NAME
from tournee.kernel.entity import Entity
from tournee.kernel.fields import Field, device_times, fields
from tournee.kernel.log import CREATED, SHORTENED, Change, Record
from tournee.kernel.times import AHEAD, BEHIND, is_implausible


class _Received(NamedTuple):
    """When the server received a time, and by which command."""

    at: datetime
    command: str

    def doubts(self, time: datetime) -> bool:
        command = COMMANDS_BY_NAME.get(self.command)
        return is_implausible(time, self.at, may_be_old=command is not None and command.past)


def clock_fields(entities: Iterable[type[Entity]]) -> Extras:
    """Return the field for each entity that holds device times and does not store the answer."""
    return Extras(
        computed=tuple(
            _field(entity)
            for entity in entities
            if device_times(entity) and not any(one.name == "clock_suspect" for one in fields(entity))
        )
    )


def _field(entity: type[Entity]) -> ComputedField:
    names = [one.wire for one in device_times(entity)]

    async def resolve(root: Any, info: Info) -> bool | None:
        return await _is_suspect(root, info)

    resolve.__doc__ = (
        f"Whether {' or '.join(f'`{name}`' for name in names)} cannot be right: when the server received it,"
        f" it was more than {AHEAD.days} day ahead or more than {BEHIND.days} days ago."
        " The time is stored as it was sent. Null if the log's entry about it was archived."
    )
    return ComputedField(entity, resolve, optional(bool), name="clockSuspect")


async def _is_suspect(row: Any, info: Info) -> bool | None:
    kind: Any = type(row)
    times = [(one, getattr(row, one.name)) for one in device_times(kind)]
    given = [(one, time) for one, time in times if time is not None]
    received = await asyncio.gather(*(_received(info, row, one) for one, _ in given))
    known = [(one, time) for one, (_, time) in zip(received, given, strict=True) if one is not None]
    doubted = any(one.doubts(time) for one, time in known)
    return None if not doubted and len(known) < len(given) else doubted


async def _received(info: Info, row: Entity, field: Field) -> _Received | None:
    """Ask for all rows of a list in two statements: their clocks, and the changes that these name. None if
    the change was archived.
    """
    load = info.context.load
    [text] = await load.related(
        "clock of a record",
        row.id,
        lambda ids: select(Record.id, Record.clock).where(Record.id.in_(ids)),
    )
    clock = orjson.loads(text)
    if SHORTENED in clock and field.wire not in clock:
        return None
    seq, *_ = clock.get(field.wire, clock[CREATED])
    found = await load.related(
        "reception of a change",
        seq,
        lambda seqs: select(Change.seq, Change.recorded_at, Change.command).where(Change.seq.in_(seqs)),
    )
    return _Received(*found[0]) if found else None
