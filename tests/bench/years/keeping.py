"""What a finished visit leaves in PostgreSQL: at once, and after the horizon and the archive.

The fill is small, because a table grows with its rows. What is kept is measured after VACUUM FULL: PostgreSQL
gives the room of removed rows to new ones, not back to the disk.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

from tests.bench.figures import Figure
from tests.bench.years.filling import Filled, sizes_of_tables
from tests.bench.years.sizes import Sizes, quiet
from tests.support import migrate
from tests.support.postgres import create_database, postgres
from tournee import housekeeping
from tournee.archiving.moving import archive
from tournee.engine.database import Database
from tournee.kernel.entity import now
from tournee.kernel.head import read_head

SIZES = Sizes(days=500, customers=200, finished=2_000, technicians=20, planned=1)
# Tables with fewer bytes for each visit are not named.
LEAST = 20.0


async def bytes_per_visit() -> list[Figure]:
    quiet()
    with postgres(durable=False) as server:
        url = create_database(server, "growth")
        migrate.upgrade(url)
        database = Database(url)
        organisation = await Filled(database, SIZES).fill()
        figures = _figures("bytes_per_visit", "years_bytes", organisation.bytes_of_visits)
        await housekeeping.forget_old(database, organisation.house.organisation_id, _later(), _later())
        figures.append(await _archived(organisation))
        figures += _figures("bytes_per_visit_kept", "years_kept", _kept(organisation))
        await database.close()
    return figures


def _figures(total: str, each: str, sizes: dict[str, float]) -> list[Figure]:
    largest = sorted(sizes.items(), key=lambda one: -one[1])
    return [
        Figure(total, sum(sizes.values()), "bytes"),
        *(Figure(f"{each}_{table}", size, "bytes") for table, size in largest if size >= LEAST),
    ]


def _later() -> datetime:
    """Return a time at which everything is old."""
    return now() + timedelta(days=1)


async def _archived(organisation: Filled) -> Figure:
    """Archive the whole log, and return how fast that went."""
    house, started = organisation.house, time.perf_counter()
    async with house.reading() as session:
        floor = (await read_head(session)).floor
    with tempfile.TemporaryDirectory() as folder:
        moved = await archive(house.database, house.organisation_id, floor - 1, Path(folder))
    return Figure("years_archived_per_s", moved.removed / (time.perf_counter() - started), "entries/s")


def _kept(organisation: Filled) -> dict[str, float]:
    """Return the bytes of each table for each visit."""
    with organisation.superuser() as connection:
        connection.execute("VACUUM FULL")
        left = Counter(sizes_of_tables(connection))
    left.subtract(organisation.bytes_before_visits)
    return {table: size / organisation.sizes.finished_visits for table, size in left.items()}
