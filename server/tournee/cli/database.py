"""`tournee migrate` and `tournee restored`: what is done to the database as a whole."""

from __future__ import annotations

import asyncio

from tournee.cli import shared


def migrate() -> None:
    """Bring the database to the newest schema."""
    settings = shared.settings()
    if settings.is_embedded:
        shared.prepare(settings)
    shared.migrate(settings.database_url)


def restored() -> None:
    """After the database was restored from a backup, before the server starts: devices begin their copy anew.

    What they hold may be ahead of the backup. Work they hand in again is still recognised.
    Numbers of the log go on where the microseconds since 1970 are, so that none is given twice.
    """
    from tournee.engine.database import Database  # noqa: PLC0415
    from tournee.sync.devices.restored import begin_anew  # noqa: PLC0415

    async def begin() -> int:
        database = Database(shared.settings().database_url)
        try:
            return await begin_anew(database)
        finally:
            await database.close()

    print(f"A new epoch has begun for {asyncio.run(begin())} organisations.")
