"""Runs the migrations, on a given connection or on one of its own."""

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from alembic import context
from sqlalchemy import (
    URL,
    Column,
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

from tournee.kernel.entity import Base
from tournee.migrations import LOCK, is_current, revisions
from tournee.migrations.steps import ONLINE
from tournee.reporting import views
from tournee.settings import read_settings


def sync_url() -> URL:
    """Return the URL of the database to migrate, with a synchronous driver."""
    url = make_url(context.config.attributes.get("url") or read_settings().database_url)
    if url.get_backend_name() == "sqlite":
        return url.set(drivername="sqlite+pysqlite")
    return url.set(drivername="postgresql+psycopg")


def sync_engine(url: URL) -> Engine:
    """Return an engine whose transactions include DDL."""
    if url.get_backend_name() != "sqlite":
        # Behind a pooler, the session may already have prepared statements of the driver's names.
        return create_engine(url, poolclass=NullPool, connect_args={"prepare_threshold": None})
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": 60})

    # By default, Python's driver commits before DDL, so a failed migration would stay half done.
    @event.listens_for(engine, "connect")
    def leave_transactions_to_us(connection: object, _record: object) -> None:
        connection.isolation_level = None  # type: ignore[attr-defined]
        # The file remembers this mode, so that servers that open it at the same moment need not set it.
        connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def render_item(kind: str, item: object, _context: object) -> str | Literal[False]:
    """Write our own column types as plain types, because ours will have changed when a migration runs."""
    if kind == "type" and isinstance(item, TypeDecorator):
        return f"sa.{item.impl_instance!r}"
    # The column holds text; the models decide which values a status may have.
    if kind == "type" and isinstance(item, Enum):
        return f"sa.String(length={item.length})"
    return False


# SQLAlchemy does not read indexes of expressions back from SQLite, and Alembic says so as well.
warnings.filterwarnings("ignore", ".*expression-based index")


def include_object(item: object, _name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
    """Leave out indexes of expressions, which each database returns in words of its own, or not at all.
    `tests/kernel/test_ranks.py` shows that they serve the models.
    """
    return kind != "index" or all(isinstance(one, Column) for one in item.expressions)  # type: ignore[attr-defined]


def migrate(connection: Connection, *, commits: bool) -> None:
    """Bring this connection's database to the requested revision.

    Where it `commits`, each revision has a transaction of its own, which it may end and begin anew; else it
    is all or nothing.
    """
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        render_item=render_item,
        include_object=include_object,
        transactional_ddl=True,
        transaction_per_migration=commits,
        **{ONLINE: commits},
    )
    with context.begin_transaction():
        tables_change = changes_tables(connection)
        if tables_change:
            views.drop(connection)
        context.run_migrations()
        if tables_change and is_current(connection):
            views.refresh(connection)
            if commits:
                connection.commit()


def changes_tables(connection: Connection) -> bool:
    """Return whether another revision was asked for than the database has."""
    try:
        wanted = context.get_revision_argument()
    except KeyError:
        # A command that changes nothing, such as `alembic check`.
        return False
    return revisions(connection) != frozenset(filter(None, [wanted]))


def migrate_within(connection: Connection) -> None:
    """Bring this connection's database to the requested revision, within its transaction."""
    if connection.dialect.name != "sqlite":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        connection.execute(text("SET LOCAL tournee.organisation = '*'"))
    migrate(connection, commits=False)


def migrate_apart(engine: Engine) -> None:
    """Bring a database to the requested revision, while its servers go on."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            migrate(connection, commits=False)
        return
    event.listen(engine, "begin", begin_for_all)
    with alone(engine), engine.connect() as connection:
        migrate(connection, commits=True)


def begin_for_all(connection: Connection) -> None:
    """Set up a transaction that changes the rows of every organisation. While it waits for a lock, all who
    come after it wait too, so it does not wait for long.

    Behind a pooler, each transaction may run on another session.
    """
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("SET LOCAL tournee.organisation = '*'")
        connection.exec_driver_sql("SET LOCAL lock_timeout = '3s'")


@contextmanager
def alone(engine: Engine) -> Iterator[None]:
    """Wait until nobody else migrates, and keep them waiting inside the block.

    The lock is that of a transaction, on a connection of its own, because those of the migration end in
    between. Who waits for it asks again and again: behind a pooler, a waiting transaction would keep one of
    the few sessions that the migration needs.
    """
    with engine.connect() as connection:
        while not connection.scalar(text(f"SELECT pg_try_advisory_xact_lock({LOCK})")):
            connection.rollback()
            time.sleep(0.5)
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield


def print_sql() -> None:
    """Print the statements for `alembic upgrade --sql`, for someone else to run."""
    context.configure(url=sync_url(), target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    print_sql()
elif given := context.config.attributes.get("connection"):
    migrate_within(given)
else:
    migrate_apart(sync_engine(sync_url()))
