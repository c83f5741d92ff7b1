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
    """Save the database to a file, even while the server runs, and check the file.

    A restored backup loses no work of devices. It does not contain the files in TOURNEE_DIRECTORY, such as
    keys. PostgreSQL's pg_dump and pg_restore must be on the PATH.
    """
    from tournee.backups.saving import save  # noqa: PLC0415 - brings in every domain

    url = shared.settings().database_url
    shared.require_file(url)
    with one_line(file):
        manifest = save(url, file)
    print(f"Saved {manifest} to {file} ({file.stat().st_size:,} bytes), and read them back.")


def restore(
    file: Annotated[Path, typer.Argument(help="The file that `tournee backup` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite the present content of the database.")
    ] = False,
) -> None:
    """Restore a backup into an empty database, or in place of its content, while no server runs.

    It is all or nothing: if it is interrupted, the database stays as it was. The command migrates the
    database to the newest schema. Each device then starts a new copy and sends again what the backup lacks.
    """
    from tournee.backups.saving import restore  # noqa: PLC0415 - brings in every domain

    settings = shared.settings()
    if settings.is_embedded:
        shared.prepare(settings)
    with one_line(file):
        restored = restore(settings.database_url, file, replace)
    manifest = restored.manifest
    print(f"Restored {manifest}, as of {manifest.saved_at:%Y-%m-%d %H:%M} UTC.")
    print(f"A new epoch has begun for {restored.organisations} organisations. Start the server.")


@contextmanager
def one_line(file: Path) -> Iterator[None]:
    """Exit with one line if what is done inside fails."""
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
