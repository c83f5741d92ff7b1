"""The migrations for tests: any database to any revision."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import command
from sqlalchemy import (
    Connection,
    create_engine,
    make_url,
    text,
)

from tournee.migrations import configuration


def upgrade(url: str, revision: str = "head") -> None:
    command.upgrade(configuration(url), revision)


def downgrade(url: str, revision: str = "base") -> None:
    command.downgrade(configuration(url), revision)


def check(url: str) -> None:
    """Fail when the migrations lack something in the models."""
    command.check(configuration(url))


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Yield a transaction that sees every organisation."""
    driver = "sqlite" if url.startswith("sqlite") else "postgresql+psycopg"
    engine = create_engine(make_url(url).set(drivername=driver))
    with engine.begin() as connection:
        if driver != "sqlite":
            connection.execute(text("SET LOCAL tournee.organisation = '*'"))
        yield connection
    engine.dispose()
