"""`tournee migrate` and `tournee restored`: commands for the database as a whole."""

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
    """Begin a new epoch after you restored the database by other means, before the server starts.

    Devices may be ahead of the backup. They start a new copy, and the server recognises work that they send
    again. The log continues at the number of microseconds since 1970, so that no number is used twice.
    """
    from tournee.engine.database import Database  # noqa: PLC0415
    from tournee.sync.devices.restored import begin_anew  # noqa: PLC0415

    settings = shared.settings()

    async def begin() -> int:
        database = Database(settings.database_url, prepares=settings.prepared_statements)
        try:
            return await begin_anew(database)
        finally:
            await database.close()

    print(f"A new epoch has begun for {asyncio.run(begin())} organisations.")
