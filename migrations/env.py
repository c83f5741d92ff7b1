"""Runs the migrations, on a connection handed in or on one of its own."""

from pathlib import Path
from typing import Literal

from alembic import context
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Enum,
    NullPool,
    TypeDecorator,
    create_engine,
    event,
    make_url,
    text,
)

import tournee.catalogue  # noqa: F401  # brings in every domain, so that the metadata is complete
from tournee.kernel.entity import Base
from tournee.migrations import LOCK
from tournee.settings import read_settings


def sync_url() -> URL:
    """The database to migrate, with the driver that needs no event loop."""
    url = make_url(context.config.attributes.get("url") or read_settings().database_url)
    if url.get_backend_name() == "sqlite":
        return url.set(drivername="sqlite+pysqlite")
    return url.set(drivername="postgresql+psycopg")


def sync_engine(url: URL) -> Engine:
    """An engine whose transactions hold DDL too."""
    if url.get_backend_name() != "sqlite":
        return create_engine(url, poolclass=NullPool)
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": 60})

    # Left to itself, Python's driver commits before DDL: a failed migration would stay half done.
    @event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: object, _record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]
        # Kept in the file: servers that open it at the same moment need not all ask for it.
        connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def render_item(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Write our own column types as the plain ones below: a migration must run when ours have changed."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl_instance!r}"
    # Which values a status may take is the models' business: the column holds text.
    if kind == "type" and isinstance(item, Enum):
        return f"sa.String(length={item.length})"
    return False


def migrate(connection: Connection) -> None:
    """Bring this connection's database to the revision asked for, all or nothing."""
    is_sqlite = connection.dialect.name == "sqlite"
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=is_sqlite,
        render_item=render_item,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        if not is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            # A migration moves the rows of every organisation.
            connection.execute(text("SET LOCAL tournee.organisation = '*'"))
        context.run_migrations()


def print_sql() -> None:
    """What `alembic upgrade --sql` asks for: the statements, for someone else to run."""
    context.configure(url=sync_url(), target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    print_sql()
elif given := context.config.attributes.get("connection"):
    migrate(given)
else:
    with sync_engine(sync_url()).connect() as connection:
        migrate(connection)
