"""How far devices are, by the cursors they come back with, and what they say of themselves; written
down together, every few seconds.

What is lost with a process is only how far the list of devices says they are.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import case, func, or_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from tournee.kernel.actor import Actor
from tournee.kernel.database import Database, now
from tournee.sync.models import DeviceState
from tournee.sync.report import NOTHING_SAID, Report

_EVERY_SECONDS = 5.0


class Acknowledged:
    """A device holds everything up to the seq of the cursor it came back with."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # By organisation and device.
        self._noted: dict[UUID, dict[UUID, dict[str, Any]]] = {}
        self._writing: asyncio.Task[None] | None = None

    def note(self, actor: Actor, device_id: UUID, seq: int | None, report: Report = NOTHING_SAID) -> None:
        """`seq` is None where it came without a cursor of the feed."""
        noted = self._noted.setdefault(actor.organisation_id, {})
        before = noted.get(device_id, {})
        noted[device_id] = {
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
        """Write down what was noted."""
        noted, self._noted = self._noted, {}
        for organisation_id, devices in noted.items():
            async with self._database.writing(organisation_id) as session:
                connection = await session.connection()
                note = _ON_SQLITE if self._database.is_sqlite else _ON_POSTGRESQL
                # In one order everywhere: two processes must not wait for each other.
                await connection.execute(note, [devices[id] for id in sorted(devices)])
                await session.commit()

    async def close(self) -> None:
        """Write what is left; nobody notes any more."""
        if self._writing is not None:
            self._writing.cancel()
        await self.write()


def _note(insert: Any) -> Any:
    """A device that never pushed has no row yet; what it does not say stays as it was."""
    new = insert(DeviceState)
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


_ON_SQLITE, _ON_POSTGRESQL = _note(sqlite.insert), _note(postgresql.insert)
