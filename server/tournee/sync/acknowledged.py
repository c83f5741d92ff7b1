"""How far devices are, by the cursors they come back with; written down together, every few seconds.

What is lost with a process is only how far the list of devices says they are.
"""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import bindparam, or_, update
from sqlalchemy.exc import SQLAlchemyError

from tournee.kernel.actor import Actor
from tournee.kernel.database import Database, now
from tournee.sync.models import DeviceState

_EVERY_SECONDS = 5.0


class Acknowledged:
    """A device holds everything up to the seq of the cursor it came back with."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # By organisation and device.
        self._noted: dict[UUID, dict[UUID, dict[str, Any]]] = {}
        self._writing: asyncio.Task[None] | None = None

    def note(self, actor: Actor, device_id: UUID, seq: int) -> None:
        self._noted.setdefault(actor.organisation_id, {})[device_id] = {
            "b_organisation": actor.organisation_id,
            "b_device": device_id,
            "b_account": actor.id,
            "b_seq": seq,
            "b_at": now(),
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
                await connection.execute(_NOTE, list(devices.values()))
                await session.commit()

    async def close(self) -> None:
        """Write what is left; nobody notes any more."""
        if self._writing is not None:
            self._writing.cancel()
        await self.write()


_NOTE = (
    update(DeviceState.__table__)  # type: ignore[arg-type]
    .where(
        DeviceState.organisation_id == bindparam("b_organisation"),
        DeviceState.device_id == bindparam("b_device"),
        DeviceState.account_id == bindparam("b_account"),
        or_(DeviceState.acknowledged_seq.is_(None), DeviceState.acknowledged_seq <= bindparam("b_seq")),
    )
    .values(acknowledged_seq=bindparam("b_seq"), last_seen_at=bindparam("b_at"))
)
