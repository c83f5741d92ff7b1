"""How far devices have come, by the cursors they send back, and what they report; written every few seconds,
many together.

If a process dies, only the latest state of this list is lost.
"""

from __future__ import annotations

import asyncio
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import bindparam, case, exists, func, or_, select
from sqlalchemy.exc import SQLAlchemyError

from tournee.auth.models import Device
from tournee.engine.database import Database
from tournee.kernel.actor import Actor
from tournee.kernel.entity import now
from tournee.sync.devices.report import NOTHING_SAID, Report
from tournee.sync.models import DeviceState

_EVERY_SECONDS = 5.0
# The most devices noted between two writes; more are dropped.
_MOST_DEVICES = 20_000


class Acknowledged:
    """Collects how far devices are: each holds everything up to the seq of the cursor it sent."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # By organisation and device.
        self._noted: dict[tuple[UUID, UUID], dict[str, Any]] = {}
        self._writing: asyncio.Task[None] | None = None

    def note(self, actor: Actor, device_id: UUID, seq: int | None, report: Report = NOTHING_SAID) -> None:
        """Note what a device reported; `seq` is None if it came without a cursor of the feed."""
        key = actor.organisation_id, device_id
        if key not in self._noted and len(self._noted) >= _MOST_DEVICES:
            return
        before = self._noted.get(key, {})
        self._noted[key] = {
            **before,
            "organisation_id": actor.organisation_id,
            "device_id": device_id,
            "account_id": actor.id,
            "acknowledged_seq": before.get("acknowledged_seq") if seq is None else seq,
            "last_seen_at": now(),
            "pushes": 0,
            **report.said(before),
        }
        if self._writing is None or self._writing.done():
            self._writing = asyncio.get_running_loop().create_task(self._write_soon())

    async def _write_soon(self) -> None:
        await asyncio.sleep(_EVERY_SECONDS)
        try:
            await self.write()
        except (SQLAlchemyError, OSError):
            structlog.get_logger().warning("acknowledgements_not_written", exc_info=True)

    async def write(self) -> None:
        """Write what was noted."""
        noted, self._noted = self._noted, {}
        # In the same order everywhere, so that two processes do not wait for each other.
        for organisation_id, keys in groupby(sorted(noted), itemgetter(0)):
            async with self._database.writing(organisation_id) as session:
                connection = await session.connection()
                new = session.statements.insert(DeviceState)
                await connection.execute(_note(new), [noted[key] for key in keys])
                await session.commit()

    async def close(self) -> None:
        """Write the rest; nothing is noted any more."""
        if self._writing is not None:
            self._writing.cancel()
        await self.write()


def _note(new: Any) -> Any:
    """Make the statement that writes what is known of a device; what it does not report stays unchanged.

    It only applies to devices that are enrolled or pushed before, since anybody can name a device, and the
    row stays.
    """
    given_names = [one.name for one in DeviceState.__table__.c if one.name not in _LEFT_ALONE]
    columns = [DeviceState.__table__.c[name] for name in given_names]
    values = select(*(bindparam(one.name, type_=one.type) for one in columns))
    new = new.from_select(given_names, values.where(or_(_is(Device.id), _is(DeviceState.device_id))))
    given, known = new.excluded, DeviceState.__table__.c
    kept = {name: func.coalesce(given[name], known[name]) for name in ("app", "schema", "clock_skew_ms")}
    oldest = case((given.queue_length.is_(None), known.queue_oldest_at), else_=given.queue_oldest_at)
    newer = or_(known.acknowledged_seq.is_(None), known.acknowledged_seq <= given.acknowledged_seq)
    return new.on_conflict_do_update(
        index_elements=[known.organisation_id, known.device_id],
        set_={
            "acknowledged_seq": case((newer, given.acknowledged_seq), else_=known.acknowledged_seq),
            "last_seen_at": given.last_seen_at,
            "queue_length": func.coalesce(given.queue_length, known.queue_length),
            "queue_oldest_at": oldest,
            **kept,
        },
        where=known.account_id == given.account_id,
    )


# Columns that only a push changes.
_LEFT_ALONE = ("next_number", "last_number", "used_numbers")


def _is(device_id: Any) -> Any:
    """Return whether there is a row for the device."""
    table = device_id.class_
    here = bindparam("organisation_id", type_=table.organisation_id.type)
    return exists().where(
        table.organisation_id == here, device_id == bindparam("device_id", type_=device_id.type)
    )
