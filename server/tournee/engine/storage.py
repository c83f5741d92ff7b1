"""Whether the database can store again, after a write met a full or read-only disk."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import make_url

from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.outages import Outage, outage_of

# Bytes: more than a small transaction needs.
_BYTES = 262_144
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
_SQLITE = f"CREATE TABLE storage_trial AS {_NUMBERS} SELECT zeroblob(100) AS x FROM n"  # noqa: S608
_POSTGRESQL = f"CREATE TEMPORARY TABLE storage_trial AS {_NUMBERS} SELECT repeat('x', 100) AS x FROM n"  # noqa: S608


async def why_not_stored(database: Database) -> Outage | None:
    """Return the outage that still prevents storing; None if there is none, or there is space again."""
    if not database.cannot_store:
        return None
    try:
        await _try(database)
    except Exception as error:
        outage = outage_of(error)
        if outage is None:
            raise
        return outage
    database.cannot_store = False
    return None


async def _try(database: Database) -> None:
    """Store something and remove it; raises what prevents it."""
    async with database.writing(ACROSS) as session:
        await session.execute(text(_SQLITE if database.is_sqlite else _POSTGRESQL))
        await session.rollback()
    if database.is_sqlite:
        # SQLite kept that table in memory, so write a file too.
        await asyncio.to_thread(_write_beside, Path(make_url(database.url).database or ""))


def _write_beside(file: Path) -> None:
    with tempfile.TemporaryFile(dir=file.parent) as trial:
        trial.write(bytes(_BYTES))
        trial.flush()
        os.fsync(trial.fileno())
