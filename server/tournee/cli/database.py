"""`tournee migrate`, `tournee distribute`, `tournee restored`: commands for the database as a whole."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import psycopg
import typer

from tournee.cli import shared


def migrate() -> None:
    """Bring the database to the newest schema."""
    settings = shared.settings()
    if settings.is_embedded:
        shared.prepare(settings)
    shared.migrate(settings.database_url)


def distribute(
    dry_run: Annotated[bool, typer.Option(help="Print the statements, and change nothing.")] = False,
) -> None:
    """Distribute the tables of a PostgreSQL with Citus by organisation, while no server runs.

    Tables that are distributed stay as they are, so an interrupted run is continued by the next one.
    """
    from tournee.operating import distribution  # noqa: PLC0415 - brings in every domain

    url = shared.settings().database_url
    try:
        found = distribution.distribute(url, dry_run=dry_run)
        if dry_run:
            for step in found.steps:
                print("BEGIN;", *(f"{one};" for one in step.statements()), "COMMIT;", sep="\n")
        those = "are left" if dry_run else "now"
        print(f"{found.done} tables were distributed before, {len(found.steps)} {those}.")
    except distribution.NotDistributed as problem:
        shared.fail(str(problem))
    except psycopg.Error as problem:
        shared.fail(f"DATABASE_URL: {str(problem).strip().partition(chr(10))[0]}", 2)
    try:
        distribution.require_setting(url)
    except distribution.NotDistributed as problem:
        print(problem, file=sys.stderr)


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
