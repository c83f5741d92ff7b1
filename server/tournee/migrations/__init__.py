"""Runs migrations, and holds the functions that migrations themselves call."""

from __future__ import annotations

from functools import cache

from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from tournee.shipped import folder

# Servers that start together take this lock, so that only one migrates. Any constant does.
LOCK = 0x70757265


def configuration(url: str) -> Config:
    """Return Alembic's configuration for this database, whatever the working directory."""
    config = Config()
    # The configuration parser takes a percent sign for the start of a name.
    config.set_main_option("script_location", str(folder("migrations")).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def migrate(url: str) -> None:
    """Bring the database to the newest schema."""
    command.upgrade(configuration(url), "head")


def migrate_on(connection: Connection) -> None:
    """Bring the database of this connection to the newest schema, within its transaction."""
    config = configuration("")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def is_known(revision: str) -> bool:
    """Return whether this version can migrate a database that is at this revision."""
    script = ScriptDirectory.from_config(configuration(""))
    return any(known.revision == revision for known in script.walk_revisions())


@cache
def newest() -> frozenset[str]:
    """Return the newest revisions."""
    return frozenset(ScriptDirectory.from_config(configuration("")).get_heads())


def is_current(connection: Connection) -> bool:
    """Return whether the database is at the newest revision."""
    return (
        bool(newest()) and frozenset(MigrationContext.configure(connection).get_current_heads()) == newest()
    )


# A transaction names its organisation when it begins (engine/engines.py). The SELECT makes PostgreSQL read
# the setting once for each statement instead of once for each row.
_SERVED = "(SELECT NULLIF(NULLIF(current_setting('tournee.organisation', true), ''), '*')::uuid)"
_ACROSS = "(SELECT current_setting('tournee.organisation', true) = '*')"


def protect(table: str, column: str = "organisation_id") -> None:
    """Let PostgreSQL show and accept this table's rows only for the transaction's organisation.

    For migrations that create a table. It also applies to the table's owner. On SQLite it does nothing.
    """
    _protect(table, f"{column} = {_SERVED}")


def protect_across(table: str) -> None:
    """Let PostgreSQL show and accept the rows of a table without organisations only for a transaction that
    works across them all.
    """
    _protect(table, "FALSE")


def _protect(table: str, condition: str) -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY organisation ON {table} USING ({condition} OR {_ACROSS})")


def unprotect(table: str) -> None:
    """Undo `protect`; not needed before the table is dropped."""
    if op.get_context().dialect.name != "postgresql":
        return
    op.execute(f"DROP POLICY organisation ON {table}")
    op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
