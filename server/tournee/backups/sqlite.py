"""Backups of SQLite: SQLite itself copies the database, even while a server writes."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy.engine import URL

from tournee import migrations
from tournee.auth.keys.models import KEY_TABLE, OPEN_KEYS
from tournee.backups import archive, files
from tournee.backups.archive import Archive, BackupFailed, Kind, Manifest
from tournee.engine.database import Database
from tournee.kernel.entity import Organisation
from tournee.kernel.folding import SQLITE_FOLD, fold
from tournee.sync.devices.restored import begin_anew

_CHUNK = 1 << 20
_TABLES = r"SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'"


def save(file: Path, part: Path) -> Manifest:
    """Write a backup of the database in `file` into `part`."""
    with files.aside(part) as copy:
        manifest = _copy(file, copy)
        with copy.open("rb") as source, archive.writing(part, manifest) as member:
            shutil.copyfileobj(source, member, _CHUNK)
    return manifest


def _copy(file: Path, copy: Path) -> Manifest:
    """Copy the database as it is at one moment, and count its rows at the same moment."""
    with _opened(file) as source, _opened(copy) as target:
        source.execute("BEGIN")
        tables, revision = _count(source), _revision(source, file)
        source.backup(target)
        if _has_open_keys(target, tables):
            _delete_keys(target)
            tables[KEY_TABLE] = 0
        # Leave one file, without a write-ahead log beside it.
        target.execute("PRAGMA journal_mode=DELETE")
    return Manifest(kind=Kind.SQLITE, revision=revision, tables=tables)


def _has_open_keys(database: sqlite3.Connection, tables: Mapping[str, int]) -> bool:
    """Return whether the database holds keys of the server that are not encrypted."""
    if KEY_TABLE not in tables:
        return False
    return bool(database.execute(f"SELECT EXISTS ({OPEN_KEYS})").fetchone()[0])


def _delete_keys(database: sqlite3.Connection) -> None:
    """Delete the server's keys, and overwrite them in the file."""
    database.execute("PRAGMA secure_delete=ON")
    database.execute(f"DELETE FROM {KEY_TABLE}")  # noqa: S608


def check(saved: Archive) -> None:
    """Unpack the backup, and raise unless it is an intact database with the rows that were counted."""
    with files.aside(saved.file) as copy:
        _unpack(saved, copy)


def _unpack(saved: Archive, copy: Path) -> None:
    with saved.database() as member, copy.open("wb") as target:
        shutil.copyfileobj(member, target, _CHUNK)
    try:
        with _opened(copy) as database:
            (said,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            if said != "ok":
                raise BackupFailed(f"{saved.file} is damaged: {said}")
            saved.manifest.compare(_count(database))
    except sqlite3.DatabaseError as problem:
        raise BackupFailed(f"{saved.file} is damaged: {problem}") from problem


def restore(saved: Archive, file: Path, replaces: bool) -> int:
    """Restore the backup to `file`; return the number of organisations that got a new epoch."""
    if file.exists():
        _require_room(file, replaces)
    with files.aside(file) as part:
        _unpack(saved, part)
        organisations = asyncio.run(_make_current(part))
        if file.exists():
            _require_room(file, replaces)
            files.replace(part, file)
        else:
            files.appear(part, file)
    return organisations


async def _make_current(part: Path) -> int:
    url = URL.create("sqlite", database=str(part)).render_as_string()
    migrations.migrate(url)
    database = Database(url)
    try:
        organisations = await begin_anew(database)
        await database.analyse()
    finally:
        await database.close()
    with _opened(part) as opened:
        opened.execute("PRAGMA journal_mode=DELETE")
    return organisations


def _require_room(file: Path, replaces: bool) -> None:
    """Raise if the file holds data or is in use; otherwise leave it without a write-ahead log beside it."""
    try:
        with _opened(file) as database:
            if not replaces and _holds_data(database):
                raise BackupFailed(
                    f"The database {file} holds data: to replace all of it by the backup, add --replace."
                )
            # SQLite refuses this while another process has the database open.
            database.execute("PRAGMA busy_timeout=0")
            database.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError as problem:
        if problem.sqlite_errorcode not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise
        raise BackupFailed(f"The database {file} is in use: stop the server first.") from None
    except sqlite3.DatabaseError as problem:
        raise BackupFailed(f"{file} is not a SQLite database ({problem}): move it away first.") from problem


def _holds_data(database: sqlite3.Connection) -> bool:
    """Return whether the database holds more than the empty tables of a new server."""
    tables = _count(database)
    return bool(tables) and tables.get(Organisation.__tablename__) != 0


def _revision(database: sqlite3.Connection, file: Path) -> str:
    try:
        ((revision,),) = database.execute("SELECT version_num FROM alembic_version").fetchall()
    except (sqlite3.OperationalError, ValueError):
        raise BackupFailed(
            f"DATABASE_URL: the database {file} has no tables of Tournée: there is nothing to save."
        ) from None
    return str(revision)


def _count(database: sqlite3.Connection) -> dict[str, int]:
    names = [str(name) for (name,) in database.execute(_TABLES)]
    quoted = {name: name.replace('"', '""') for name in names}
    counting = {name: f'SELECT count(*) FROM "{quoted[name]}"' for name in names}  # noqa: S608
    return {name: int(database.execute(statement).fetchone()[0]) for name, statement in counting.items()}


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    """Open an existing database; the caller begins and ends transactions."""
    url = f"{file.absolute().as_uri()}?mode=rw"
    with closing(sqlite3.connect(url, timeout=30, isolation_level=None, uri=True)) as database:
        database.create_function(SQLITE_FOLD, 1, fold, deterministic=True)
        yield database
