"""Shorten the clocks of records whose changes were all archived."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import and_, or_, select

from tournee.engine.clocks import shortened
from tournee.engine.database import Database
from tournee.kernel.log import Record, dump

# Sorts after every id.
MAX_ID = UUID(int=2**128 - 1)
# Records changed in one transaction.
PORTION = 1_000

_RECORD: Any = Record.__table__


async def shorten_clocks(database: Database, organisation_id: UUID, first: int, last: int) -> None:
    """Shorten the clocks of records that changed last with one of these numbers."""
    after = first - 1, MAX_ID
    while True:
        async with database.writing(organisation_id) as session:
            beyond = or_(Record.seq > after[0], and_(Record.seq == after[0], Record.id > after[1]))
            unchanged = select(Record.id, Record.seq, Record.clock).where(
                Record.seq >= after[0], Record.seq <= last, beyond
            )
            rows = (await session.execute(unchanged.order_by(Record.seq, Record.id).limit(PORTION))).all()
            if not rows:
                return
            # Found again by its seq: somebody may be changing the record.
            found = [
                {"id": id, "seq": seq, "clock": dump(shortened(orjson.loads(clock)))}
                for id, seq, clock in rows
            ]
            await session.statements.update_many(_RECORD, ("id", "seq"), found)
            await session.commit()
        after = rows[-1].seq, rows[-1].id
