"""The migrations, which lie beside the server's source and not in it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

ROOT = Path(__file__).resolve().parents[2]


def configuration(url: str) -> Config:
    """Alembic's configuration for this database, wherever we were started from."""
    config = Config(toml_file=str(ROOT / "pyproject.toml"))
    config.attributes["url"] = url
    return config


def migrate(url: str) -> None:
    """Bring the database to the newest schema."""
    command.upgrade(configuration(url), "head")


@cache
def newest() -> frozenset[str]:
    """The revisions a current database is at."""
    return frozenset(ScriptDirectory.from_config(configuration("")).get_heads())


def is_current(connection: Connection) -> bool:
    """Whether the database is at the newest revision."""
    return (
        bool(newest()) and frozenset(MigrationContext.configure(connection).get_current_heads()) == newest()
    )
