"""Runs migrations, and holds the functions that migrations themselves call."""

from __future__ import annotations

import time
from functools import cache

from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from tournee.shipped import folder

# Servers that start together take this lock, so that only one migrates. Any constant does.
LOCK = 0x70757265

# Each waits three seconds for a lock (migrations/env.py).
_ATTEMPTS = 15


def configuration(url: str) -> Config:
    """Return Alembic's configuration for this database, whatever the working directory."""
    config = Config()
    # The configuration parser takes a percent sign for the start of a name.
    config.set_main_option("script_location", str(folder("migrations")).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def migrate(url: str) -> None:
    """Bring the database to the newest schema. Where another transaction keeps a lock, try again for a
    minute; what was done before that stays.
    """
    for attempt in range(_ATTEMPTS):
        try:
            command.upgrade(configuration(url), "head")
        except OperationalError as error:
            if attempt == _ATTEMPTS - 1 or not isinstance(error.orig, LockNotAvailable):
                raise
            time.sleep(1)
        else:
            return


def migrate_on(connection: Connection) -> None:
    """Bring the database of this connection to the newest schema, within its transaction."""
    config = configuration("")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@cache
def known() -> frozenset[str]:
    """Return all revisions of this version."""
    script = ScriptDirectory.from_config(configuration(""))
    return frozenset(script.revision for script in script.walk_revisions())


def is_known(revision: str) -> bool:
    """Return whether this version can migrate a database that is at this revision."""
    return revision in known()


@cache
def newest() -> frozenset[str]:
    """Return the newest revisions."""
    return frozenset(ScriptDirectory.from_config(configuration("")).get_heads())


def is_current(connection: Connection) -> bool:
    """Return whether the database is at the newest revision."""
    return bool(newest()) and revisions(connection) == newest()


def can_be_served(connection: Connection) -> bool:
    """Return whether the database is at the newest revision, or at one of a newer version: that is so while
    servers are upgraded one after the other.
    """
    return is_current(connection) or bool(revisions(connection) - known())


def revisions(connection: Connection) -> frozenset[str]:
    """Return the revisions that the database is at: one, or none without tables."""
    return frozenset(MigrationContext.configure(connection).get_current_heads())


# A transaction names its organisation when it begins (engine/engines.py).
_SERVED = "NULLIF(NULLIF(current_setting('tournee.organisation', true), ''), '*')::uuid"
_ACROSS = "current_setting('tournee.organisation', true) = '*'"

# Whether a PostgreSQL has Citus, which can distribute its tables.
HAS_CITUS = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"


def policy(column: str | None, *, citus: bool) -> str:
    """Return the condition of a policy for a table whose organisation is in this column, or that has none.

    In a SELECT, PostgreSQL reads the setting once for each statement instead of once for each row, which
    makes long scans twice as fast; but Citus refuses policies with a SELECT.
    """
    served, across = (one if citus else f"(SELECT {one})" for one in (_SERVED, _ACROSS))
    own = "FALSE" if column is None else f"{column} = {served}"
    return f"{own} OR {across}"


def protect(table: str, column: str = "organisation_id") -> None:
    """Let PostgreSQL show and accept this table's rows only for the transaction's organisation.

    For migrations that create a table. It also applies to the table's owner. On SQLite it does nothing.
    """
    _protect(table, column)


def protect_across(table: str) -> None:
    """Let PostgreSQL show and accept the rows of a table without organisations only for a transaction that
    works across them all.
    """
    _protect(table, None)


def _protect(table: str, column: str | None) -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    citus = not op.get_context().as_sql and bool(op.get_bind().scalar(text(HAS_CITUS)))
    op.execute(f"CREATE POLICY organisation ON {table} USING ({policy(column, citus=citus)})")


def unprotect(table: str) -> None:
    """Undo `protect`; not needed before the table is dropped."""
    if op.get_context().dialect.name != "postgresql":
        return
    op.execute(f"DROP POLICY organisation ON {table}")
    op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
