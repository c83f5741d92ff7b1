"""Shorten the clocks of records whose changes were all archived."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import select

from tournee.engine.clocks import shortened
from tournee.engine.database import Database
from tournee.kernel.log import Record, dump

# Records changed in one transaction.
PORTION = 1_000

_RECORD: Any = Record.__table__


async def shorten_clocks(database: Database, organisation_id: UUID, first: int, last: int) -> None:
    """Shorten the clocks of records that changed last with one of these numbers."""
    after = first - 1
    while True:
        async with database.writing(organisation_id) as session:
            unchanged = select(Record.id, Record.seq, Record.clock).where(
                Record.seq > after, Record.seq <= last
            )
            rows = (await session.execute(unchanged.order_by(Record.seq).limit(PORTION))).all()
            if not rows:
                return
            # Found again by its seq: somebody may be changing the record.
            found = [
                {"id": id, "seq": seq, "clock": dump(shortened(orjson.loads(clock)))}
                for id, seq, clock in rows
            ]
            await session.statements.update_many(_RECORD, ("id", "seq"), found)
            await session.commit()
        after = rows[-1].seq
