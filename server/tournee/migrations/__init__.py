"""Bring a database to a revision, and what migrations themselves need."""

from __future__ import annotations

from functools import cache

from alembic import command, op
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from tournee.shipped import folder

# Servers that start together migrate together; any constant does, as long as all of them use it.
LOCK = 0x70757265


def configuration(url: str) -> Config:
    """Alembic's configuration for this database, wherever we were started from."""
    config = Config()
    # The parser of such files takes a percent sign for the start of a name.
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
    """Return whether this version can bring a database at the revision to the newest schema."""
    script = ScriptDirectory.from_config(configuration(""))
    return any(known.revision == revision for known in script.walk_revisions())


@cache
def newest() -> frozenset[str]:
    """The revisions a current database is at."""
    return frozenset(ScriptDirectory.from_config(configuration("")).get_heads())


def is_current(connection: Connection) -> bool:
    """Whether the database is at the newest revision."""
    return (
        bool(newest()) and frozenset(MigrationContext.configure(connection).get_current_heads()) == newest()
    )


# Which organisation a transaction serves is said where it begins (engine/engines.py). Read once for a
# statement, not for each row, because of the SELECT around it.
_SERVED = "(SELECT NULLIF(NULLIF(current_setting('tournee.organisation', true), ''), '*')::uuid)"
_ACROSS = "(SELECT current_setting('tournee.organisation', true) = '*')"


def protect(table: str, column: str = "organisation_id") -> None:
    """Let PostgreSQL show and take this table's rows only for the organisation a transaction serves.

    For migrations that create a table; the owner of the table is held to it too. SQLite has no such thing.
    """
    if op.get_context().dialect.name != "postgresql":
        return
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY organisation ON {table} USING ({column} = {_SERVED} OR {_ACROSS})")


def unprotect(table: str) -> None:
    """Undo `protect`; dropping the table does so by itself."""
    if op.get_context().dialect.name != "postgresql":
        return
    op.execute(f"DROP POLICY organisation ON {table}")
    op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
