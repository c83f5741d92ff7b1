"""The migrations make what the models say, and can be undone."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine, inspect

from tests import migrate
from tests.postgres import create_database, drop_database


def _round_trip(url: str, sync_url: str) -> list[str]:
    migrate.upgrade(url)
    migrate.check(url)
    migrate.downgrade(url)
    engine = create_engine(sync_url)
    left = [name for name in inspect(engine).get_table_names() if name != "alembic_version"]
    engine.dispose()
    migrate.upgrade(url)
    return left


def test_on_sqlite_they_go_up_match_the_models_and_go_down(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tournee.db"
    assert _round_trip(url, url) == []


def test_on_postgresql_they_go_up_match_the_models_and_go_down(postgres_url: str) -> None:
    url = create_database(postgres_url, "migrations")
    assert _round_trip(url, url.replace("postgresql://", "postgresql+psycopg://")) == []
    drop_database(postgres_url, "migrations")
