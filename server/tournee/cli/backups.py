"""`tournee backup` and `tournee restore`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from sqlalchemy.exc import DBAPIError

from tournee.cli import shared


def backup(file: Annotated[Path, typer.Argument(help="A new file; only its owner can read it.")]) -> None:
    """Save the database to a file, also while the server runs, and check what was saved.

    Devices lose nothing by a restored backup. The files in TOURNEE_DIRECTORY, such as keys, are not in it.
    PostgreSQL's pg_dump and pg_restore must be on the PATH.
    """
    from tournee.backups.saving import save  # noqa: PLC0415 - brings in every domain

    url = shared.settings().database_url
    shared.require_file(url)
    with _one_line(file):
        manifest = save(url, file)
    print(f"Saved {manifest} to {file} ({file.stat().st_size:,} bytes), and read them back.")


def restore(
    file: Annotated[Path, typer.Argument(help="What `tournee backup` made.")],
    replace: Annotated[bool, typer.Option("--replace", help="Lose all that the database holds now.")] = False,
) -> None:
    """Put a backup into an empty database, or all of it in place of one, while no server runs.

    All or nothing: if it is interrupted, the database is as it was. The database comes to the newest
    schema, and each device begins its copy anew and hands in again what the backup lacks.
    """
    from tournee.backups.saving import restore  # noqa: PLC0415 - brings in every domain

    settings = shared.settings()
    if settings.is_embedded:
        shared.prepare(settings)
    with _one_line(file):
        restored = restore(settings.database_url, file, replace)
    manifest = restored.manifest
    print(f"Restored {manifest}, as of {manifest.saved_at:%Y-%m-%d %H:%M} UTC.")
    print(f"A new epoch has begun for {restored.organisations} organisations. Start the server.")


@contextmanager
def _one_line(file: Path) -> Iterator[None]:
    from tournee.backups.archive import BackupFailed  # noqa: PLC0415

    try:
        yield
    except BackupFailed as problem:
        shared.fail(str(problem))
    except OSError as problem:
        shared.fail(f"{problem.filename or file}: {problem.strerror or problem}.")
    except (DBAPIError, psycopg.Error, sqlite3.Error) as problem:
        why = str(getattr(problem, "orig", problem)).strip().partition("\n")[0]
        shared.fail(f"DATABASE_URL: {why}", 2)
