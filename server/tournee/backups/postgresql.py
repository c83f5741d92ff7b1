"""Backups of PostgreSQL: pg_dump saves one snapshot, and restoring takes one transaction."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession

from tournee import migrations
from tournee.auth.keys.models import KEY_TABLE, OPEN_KEYS
from tournee.backups import archive, script, tools
from tournee.backups.archive import Archive, BackupFailed, Kind, Manifest
from tournee.backups.script import Copy
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS, session_options, set_locally
from tournee.kernel.entity import Base, Organisation
from tournee.reporting import views
from tournee.sync.devices.restored import begin_anew_in

_CHUNK = 1 << 20

# Tables of extensions are left out: installing the extension creates them.
_TABLES = """
SELECT relname FROM pg_class
 WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
   AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid
                                           AND deptype = 'e')
 ORDER BY relname
"""

# Tables whose rows may be hidden from this role, because they have other policies than our migrations made.
# Ours show every row to a connection that serves all organisations.
_HIDING = """
SELECT relname FROM pg_class
 WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' AND row_security_active(oid)
   AND (EXISTS (SELECT FROM pg_policy WHERE polrelid = pg_class.oid AND NOT polpermissive)
        OR NOT EXISTS (SELECT FROM pg_policy
                        WHERE polrelid = pg_class.oid AND polpermissive AND polcmd = '*'
                          AND pg_get_expr(polqual, polrelid) LIKE
                              '% OR %current_setting(''tournee.organisation''%) = ''*''%'))
 ORDER BY relname
"""

# Other connections of the role that the server connects as.
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
"""


_POOLED = "DATABASE_URL: backups need a connection to PostgreSQL itself, and this one leads to a pooler."


def save(url: str, part: Path) -> Manifest:
    """Write a backup of the database into `part`: counted and dumped from the same snapshot."""
    with _snapshot(url) as (connection, snapshot):
        pg_dump = tools.find("pg_dump", connection.info.server_version // 10_000)
        manifest = _manifest(connection, pg_dump.version)
        command = [
            pg_dump.path,
            f"--dbname={_without_secrets(connection)}",
            "--format=custom",
            # Without this, pg_dump fails for the server's role, because row-level security applies to it.
            # Our policies show this connection all organisations.
            "--enable-row-security",
            f"--snapshot={snapshot}",
            f"--schema={_pattern(manifest.namespace)}",
            # Migrating makes them again.
            f"--exclude-table={_pattern(manifest.namespace)}.{views.PREFIX}*",
            "--no-password",
        ]
        if KEY_TABLE not in manifest.tables:
            command.append(f"--exclude-table-data={_pattern(manifest.namespace)}.{_pattern(KEY_TABLE)}")
        with (
            tools.output_of(command, _environment(connection)) as dump,
            archive.writing(part, manifest) as member,
        ):
            shutil.copyfileobj(dump, member, _CHUNK)
    return manifest


@contextmanager
def _direct(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Yield a session that serves all organisations; raise if there is a pooler in between.

    A pooler would hand the settings that pg_dump makes on to the server. If it ignores our options instead of
    refusing them, every row would be missing from the backup.
    """
    try:
        with psycopg.connect(_plain(url), options=session_options(ACROSS), autocommit=True) as connection:
            if _one(connection, "SELECT current_setting('tournee.organisation', true)") != ACROSS.value:
                raise BackupFailed(_POOLED)
            yield connection
    except psycopg.OperationalError as error:
        raise BackupFailed(_POOLED) if "startup parameter" in str(error) else error from None


@contextmanager
def _snapshot(url: str) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    """Yield a connection whose snapshot shows all organisations as they are now, and the snapshot's name."""
    with _direct(url) as connection:
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
            connection.execute(f"SET {setting} = 0".encode())
        connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield connection, str(_one(connection, "SELECT pg_export_snapshot()"))


def _plain(url: str) -> str:
    """Return the URL without the driver's name."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _manifest(connection: psycopg.Connection[Any], pg_dump: int) -> Manifest:
    names = [str(name) for (name,) in connection.execute(_TABLES)]
    if "alembic_version" not in names:
        raise BackupFailed("DATABASE_URL: the database has no tables of Tournée: there is nothing to save.")
    hiding = connection.execute(_HIDING).fetchone()
    if hiding is not None:
        raise BackupFailed(
            f"Row-level security may hide rows of {hiding[0]} from {connection.info.user}: "
            "make backups as a role with BYPASSRLS, named in DATABASE_URL."
        )
    revision = _one(connection, "SELECT version_num FROM alembic_version")
    counting = sql.SQL("SELECT count(*) FROM {}")
    if KEY_TABLE in names and _one(connection, OPEN_KEYS) is not None:
        names.remove(KEY_TABLE)
    tables = {name: int(_one(connection, counting.format(sql.Identifier(name)))) for name in names}
    namespace = _one(connection, "SELECT current_schema()")
    return Manifest(
        kind=Kind.POSTGRESQL, revision=revision, namespace=namespace, pg_dump=pg_dump, tables=tables
    )


def _one(connection: psycopg.Connection[Any], question: Any) -> Any:
    row = connection.execute(question).fetchone()
    return None if row is None else row[0]


def _without_secrets(connection: psycopg.Connection[Any]) -> str:
    """Return the connection string without passwords: all users of the machine can read a command line."""
    parameters = connection.info.get_parameters()
    return make_conninfo(**{name: value for name, value in parameters.items() if "password" not in name})


def _environment(connection: psycopg.Connection[Any]) -> dict[str, str]:
    password = connection.info.password
    return {**os.environ, **({"PGPASSWORD": password} if password else {})}


def _pattern(name: str) -> str:
    quoted = name.replace('"', '""')
    return f'"{quoted}"'


@contextmanager
def _script(saved: Archive) -> Iterator[IO[bytes]]:
    """Yield the SQL that creates the database again; the tables will belong to the role that runs it."""
    command = [
        tools.find("pg_restore", saved.manifest.pg_dump).path,
        "--file=-",
        f"--schema={saved.manifest.namespace}",
        "--no-owner",
        "--no-privileges",
        "--no-tablespaces",
        "--no-security-labels",
        "--no-publications",
        "--no-subscriptions",
        "--enable-row-security",
    ]
    with saved.database() as member, tools.output_of(command, source=member) as sql_script:
        yield sql_script


def check(saved: Archive) -> None:
    """Read the backup, and raise unless it has the rows that were counted."""
    with _script(saved) as sql_script:
        found = script.count(sql_script)
    saved.manifest.compare(found)


def restore(saved: Archive, url: str, replaces: bool) -> int:
    """Restore the backup into the database; return the number of organisations that got a new epoch."""
    return asyncio.run(_restore(saved, url, replaces))


async def _restore(saved: Archive, url: str, replaces: bool) -> int:
    """Restore in one transaction, so that an interrupted attempt leaves no trace."""
    database = Database(url, pool_size=1)
    try:
        async with database.writing(ACROSS) as session:
            await _make_room(session, saved.manifest, replaces)
            await _run(session, saved)
            saved.manifest.compare(await _count(session, saved.manifest))
            await (await session.connection()).run_sync(migrations.migrate_on)
            organisations = await begin_anew_in(session)
            await session.execute(text("ANALYZE"))
            await session.commit()
    finally:
        await database.close()
    return organisations


async def _make_room(session: AsyncSession, manifest: Manifest, replaces: bool) -> None:
    """Drop tables that hold no organisation, or that the operator wants to replace; raise otherwise."""
    # A server that starts meanwhile waits until everything is restored.
    await session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": migrations.LOCK})
    namespace = await session.scalar(text("SELECT current_schema()"))
    if namespace != manifest.namespace:
        raise BackupFailed(
            f"The backup is of the schema {manifest.namespace}, but DATABASE_URL uses {namespace}."
        )
    ours = {*manifest.tables, *Base.metadata.tables, "alembic_version"}
    there = [name for name in await session.scalars(text(_TABLES)) if name in ours]
    if there and not replaces and await _holds_data(session, there):
        raise BackupFailed("The database holds data: to replace all of it by the backup, add --replace.")
    if there and await session.scalar(text(_OTHERS)):
        raise BackupFailed("The database is in use: stop the server first, on every machine.")
    if there:
        await (await session.connection()).run_sync(views.drop)
        await session.execute(text(f"DROP TABLE {', '.join(map(_pattern, there))}"))


async def _holds_data(session: AsyncSession, there: list[str]) -> bool:
    organisation = Organisation.__tablename__
    if organisation not in there:
        return True
    return bool((await _count_of(session, organisation)) > 0)


async def _run(session: AsyncSession, saved: Archive) -> None:
    """Run the SQL that pg_restore prints, and undo what it sets for the session, such as the search path."""
    raw = await (await session.connection()).get_raw_connection()
    driver: Any = raw.driver_connection
    with _script(saved) as sql_script:
        for part in script.parts(sql_script):
            if isinstance(part, Copy):
                await _copy(driver, part)
            elif part.strip():
                await driver.execute(part, prepare=False)
    await driver.execute(f"RESET ALL; {set_locally(ACROSS)}", prepare=False)


async def _copy(driver: psycopg.AsyncConnection[Any], part: Copy) -> None:
    async with driver.cursor() as cursor, cursor.copy(part.statement) as copying:
        gathered = bytearray()
        for row in part.rows:
            gathered += row
            if len(gathered) > _CHUNK:
                await copying.write(bytes(gathered))
                gathered.clear()
        await copying.write(bytes(gathered))


async def _count(session: AsyncSession, manifest: Manifest) -> dict[str, int]:
    there = [name for name in await session.scalars(text(_TABLES)) if name in manifest.tables]
    return {name: await _count_of(session, name) for name in there}


async def _count_of(session: AsyncSession, table: str) -> int:
    return int(await session.scalar(text(f"SELECT count(*) FROM {_pattern(table)}")) or 0)  # noqa: S608
