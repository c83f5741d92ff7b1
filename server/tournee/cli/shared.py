"""What several commands do first."""

from __future__ import annotations

import sys

import typer
from sqlalchemy.exc import OperationalError

from tournee import migrations
from tournee.settings import Settings, UnusableSetting, read_settings


def settings() -> Settings:
    """Return what the environment says, or exit with a line for each variable that is wrong."""
    try:
        return read_settings()
    except UnusableSetting as problem:
        print(problem, file=sys.stderr)
        raise typer.Exit(2) from None


def migrate(database_url: str) -> None:
    """Bring the database to the newest schema, or exit with one line about why it cannot be opened."""
    try:
        migrations.migrate(database_url)
    except (OperationalError, OSError) as problem:
        why = str(getattr(problem, "orig", problem)).strip().partition("\n")[0]
        print(f"DATABASE_URL: the database cannot be opened: {why}", file=sys.stderr)
        raise typer.Exit(2) from None
