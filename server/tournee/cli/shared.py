"""What several commands share: how they start, and how they fail with one line for a person."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NoReturn, TypeVar

import psycopg
import typer
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from tournee import migrations
from tournee.engine.database import Database
from tournee.kernel.command import Kernel
from tournee.kernel.errors import Refused
from tournee.kernel.outages import Outage
from tournee.settings import Settings, UnusableSetting, read_settings

__all__ = ["Kernel", "fail", "migrate", "perform", "prepare", "require_file", "settings"]

ResultT = TypeVar("ResultT")


def fail(line: str, code: int = 1) -> NoReturn:
    """Print the line on the standard error and exit."""
    print(line, file=sys.stderr)
    raise typer.Exit(code) from None


def settings() -> Settings:
    """Return the settings, or exit with a line for each variable of the environment that is wrong."""
    try:
        return read_settings()
    except UnusableSetting as problem:
        fail(str(problem), 2)


def prepare(settings: Settings) -> None:
    """Make the folder for the server's files if there is none, and say so; let nobody else read them."""
    directory = settings.directory
    try:
        if not directory.is_dir():
            directory.mkdir(parents=True)
            print(f"Made {directory.resolve()} for the server's files (TOURNEE_DIRECTORY).", file=sys.stderr)
        elif "directory" not in settings.model_fields_set:
            # This is our default folder. A folder that somebody named may also hold files of others.
            _close_to_others(directory)
        _close_database(settings)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as problem:
        fail(f"TOURNEE_DIRECTORY: {directory} cannot be written: {problem.strerror}.", 2)


def _close_database(settings: Settings) -> None:
    """Make the database's files private, because older versions left them readable by everybody."""
    database = make_url(settings.database_url).database if settings.is_sqlite else None
    if database:
        for file in (Path(f"{database}{suffix}") for suffix in ("", "-wal", "-shm")):
            _close_to_others(file)


def _close_to_others(path: Path) -> None:
    found = path.stat() if path.exists() else None
    if found is not None and found.st_uid == os.getuid() and found.st_mode & 0o077:
        path.chmod(found.st_mode & 0o700)


def migrate(database_url: str) -> None:
    """Bring the database to the newest schema, or exit with one line that says why it cannot be opened."""
    try:
        migrations.migrate(database_url)
        if not database_url.startswith("sqlite"):
            _distribute(database_url)
    except (OperationalError, psycopg.OperationalError, OSError) as problem:
        _fail_to_open(problem)


def _distribute(database_url: str) -> None:
    """Distribute new tables where Citus distributes the others."""
    from tournee.operating import distribution  # noqa: PLC0415 - brings in every domain

    try:
        new = distribution.distribute_new(database_url).steps
    except distribution.NotDistributed as problem:
        fail(str(problem), 2)
    if new:
        print(f"Distributed {', '.join(step.table for step in new)}.", file=sys.stderr)


def perform(work: Callable[[Kernel], Awaitable[ResultT]]) -> ResultT:
    """Do the work on the database that the environment names, even while a server uses it.

    The database must be at the newest schema, because a server of another version may be using it.
    """
    from tournee.catalogue import COMMANDS, MEMBERSHIPS  # noqa: PLC0415 - brings in every domain
    from tournee.sync.waiting.reviving import reviving  # noqa: PLC0415

    read = settings()
    require_file(read.database_url)

    async def do() -> ResultT:
        database = Database(read.database_url, prepares=read.prepared_statements)
        try:
            async with database.connecting() as connection:
                current = await connection.run_sync(migrations.is_current)
            if not current:
                fail("DATABASE_URL: the database does not have this version's schema: run `tournee migrate`.")
            return await work(Kernel(database, MEMBERSHIPS, reviving(COMMANDS)))
        finally:
            await database.close()

    try:
        return asyncio.run(do())
    except Refused as refusal:
        fail(f"{refusal.field}: {refusal.message}" if refusal.field else refusal.message)
    except Outage as outage:
        fail(outage.message)
    except (DBAPIError, OSError) as problem:
        _fail_to_open(problem)


def require_file(url: str) -> None:
    """Exit if there is no such SQLite file, because opening it would make an empty database."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        fail(
            f"DATABASE_URL: there is no database at {parsed.database}: run `tournee migrate` to make one.", 2
        )


def _fail_to_open(problem: Exception) -> NoReturn:
    why = str(getattr(problem, "orig", problem)).strip().partition("\n")[0]
    fail(f"DATABASE_URL: the database cannot be opened: {why}", 2)
