"""A log that has grown old, and its archive."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet
from sqlalchemy import select, update

from tests.support.house import House
from tournee.archiving.moving import Moved, archive
from tournee.archiving.planning import Keeping, last_to_archive
from tournee.kernel.entity import now
from tournee.kernel.log import Change

KEEPING = Keeping(horizon_days=90, operations_days=400)


async def age(house: House, days: int) -> None:
    """Let everything in the log have been recorded this many days earlier."""
    async with house.writing() as session:
        rows = await session.execute(select(Change.seq, Change.recorded_at))
        for seq, at in rows.all():
            earlier = update(Change).where(Change.seq == seq).values(recorded_at=at - timedelta(days=days))
            await session.execute(earlier)
        await session.commit()


async def archive_log(house: House, folder: Path, days: int = 400) -> Moved:
    """Archive what was recorded more than this many days ago, as `tournee archive` does."""
    before = now() - timedelta(days=days)
    until = await last_to_archive(house.database, house.organisation_id, before, KEEPING)
    return await archive(house.database, house.organisation_id, until, folder)


async def logged(house: House) -> list[dict[str, Any]]:
    """Return the entries that the log has."""
    columns = [getattr(Change, column.key) for column in Change.__table__.c]
    async with house.reading() as session:
        rows = await session.execute(select(*columns).order_by(Change.seq))
        return [dict(row._mapping) for row in rows]


def filed(folder: Path) -> list[dict[str, Any]]:
    """Return the entries in all files of the folder, in the form of `logged`."""
    ids = ("organisation_id", "id", "actor_id", "device_id", "operation_id")
    rows = [row for file in sorted(folder.iterdir()) for row in pyarrow.parquet.read_table(file).to_pylist()]
    return [{**row, **{name: row[name] and UUID(row[name]) for name in ids}} for row in rows]
