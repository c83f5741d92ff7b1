"""Engines: how each database is opened, and how a transaction on it begins."""

from __future__ import annotations

import time
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, Final
from uuid import UUID

import orjson
import psycopg
from sqlalchemy import Connection, event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from tournee.kernel.buckets import SQLITE_BUCKET, cut
from tournee.kernel.folding import SQLITE_FOLD, fold


class Across(Enum):
    """A marker in place of one organisation: all of them."""

    ORGANISATIONS = "*"


# The key in an engine's options and a session's `info` for the organisation that they serve.
ORGANISATION: Final = "tournee_organisation"

# The key in an engine's options for the seconds that a statement may take.
_SECONDS: Final = "tournee_seconds"

# The key in a connection's `info` for its watch, and how many instructions SQLite runs between two checks.
_WATCH: Final = "tournee_watch"
_INSTRUCTIONS = 20_000

# For work before the organisation is known, such as a sign-in, or for all organisations.
ACROSS: Final = Across.ORGANISATIONS

# The longest that a request waits for a connection; then it is refused with a `Retry-After`.
POOL_SECONDS = 10.0

# Our statements are short and many: compiling one or handing it to helper processes costs more
# than running it, and the estimate that triggers either grows with the tables. The greatest page of a
# first pull is sorted in memory, not in a file.
_SETTINGS: Final = {
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "work_mem": "16MB",
    "timezone": "UTC",
}
# They are set in each transaction, because a pooler may run the next one on another session.
_LOCALLY = "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in _SETTINGS.items())

# Executions of a statement before the driver lets PostgreSQL prepare it: the driver's own default.
_PREPARES_AFTER = 5

# The class of SQLSTATE for violated constraints, and where a connection keeps a warning of it.
_VIOLATION: Final = "23"
_VIOLATED: Final = "tournee_violated"

# The timeout comes first, because changing the journal's mode waits for a lock.
_PRAGMAS = ("busy_timeout=30000", "foreign_keys=ON", "journal_mode=WAL", "synchronous=NORMAL")

# Errors of statements are logged, but their parameters hold personal data and secrets.
_DISCREET: Final[dict[str, Any]] = {"hide_parameters": True}

_JSON: Final[dict[str, Any]] = {
    "json_deserializer": orjson.loads,
    "json_serializer": lambda value: orjson.dumps(value).decode(),
}


def async_url(url: str) -> str:
    """Return the URL with the asynchronous driver that we use for its database."""
    parsed = make_url(url)
    driver = "sqlite+aiosqlite" if parsed.get_backend_name() == "sqlite" else "postgresql+psycopg"
    return parsed.set(drivername=driver).render_as_string(hide_password=False)


def serving(
    engine: AsyncEngine, organisation_id: UUID | Across, *, writes: bool, seconds: float | None = None
) -> AsyncEngine:
    """Return the engine with options: its transactions serve one organisation. A statement that takes longer
    than `seconds` fails; with SQLite, one that ends so long after its transaction began.
    """
    options = {ORGANISATION: organisation_id, "tournee_writes": writes, _SECONDS: seconds}
    return engine.execution_options(**options)


def outside_transactions(engine: AsyncEngine) -> AsyncEngine:
    """Return the engine for statements that cannot run in a transaction."""
    return engine.execution_options(tournee_outside=True)


class _Watch:
    """Stops the statements of one connection to SQLite after this time."""

    def __init__(self) -> None:
        self.ends: float | None = None

    def is_over(self) -> bool:
        return self.ends is not None and time.monotonic() > self.ends


def open_sqlite(url: str, cache_megabytes: int) -> AsyncEngine:
    """Open SQLite with real transactions: the driver's implicit BEGIN is off, and ours says which kind it
    is.
    """
    engine = create_async_engine(async_url(url), pool_timeout=POOL_SECONDS, **_DISCREET, **_JSON)

    @event.listens_for(engine.sync_engine, "connect")
    def connect(connection: Any, record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None
        connection.create_function(SQLITE_FOLD, 1, fold, deterministic=True)
        connection.create_function(SQLITE_BUCKET, 3, cut, deterministic=True)
        cursor = connection.cursor()
        for pragma in (*_PRAGMAS, f"cache_size={-1024 * cache_megabytes}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        watch = record.info[_WATCH] = _Watch()
        connection.run_async(lambda real: real.set_progress_handler(watch.is_over, _INSTRUCTIONS))

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        writes, seconds = options.get("tournee_writes"), options.get(_SECONDS)
        connection.info[_WATCH].ends = None if seconds is None else time.monotonic() + seconds
        connection.exec_driver_sql(f"PRAGMA query_only={0 if writes else 1}")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    @event.listens_for(engine.sync_engine, "invalidate")
    def stop(_connection: Any, record: ConnectionPoolEntry, _error: BaseException | None) -> None:
        # It can be closed only when the statement of a cancelled reader has ended.
        record.info[_WATCH].ends = 0.0

    return engine


def driver_options(*, prepares: bool) -> dict[str, Any]:
    """Return how the driver uses a connection to PostgreSQL. Without `prepares`, no statement outlives its
    transaction, because a pooler may run the next one on a session that has not prepared it.
    """
    return {"autocommit": True, "prepare_threshold": _PREPARES_AFTER if prepares else None}


def open_postgresql(url: str, pool_size: int, *, prepares: bool) -> AsyncEngine:
    """Open PostgreSQL with a BEGIN of our own, which names the organisation without another round trip.

    The policies on the tables compare with it (migrations/__init__.py). It ends with the transaction, so
    a pooled connection has none and shows no row at all.
    """
    overflow = pool_size // 2
    most = pool_size + overflow + 1
    engine = create_async_engine(
        async_url(url),
        pool_size=pool_size,
        max_overflow=overflow,
        pool_timeout=POOL_SECONDS,
        connect_args=driver_options(prepares=prepares),
        **_DISCREET,
        **_JSON,
    )

    event.listen(engine.sync_engine, "connect", _remember_violations)
    event.listen(engine.sync_engine, "handle_error", _recognise_violation, retval=True)

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("tournee_outside"):
            return
        statement = _begin(options)
        connection.info.pop(_VIOLATED, None)
        # After a restart of PostgreSQL, all pooled connections may be lost. Nothing was done on them yet, so
        # begin the transaction on the next one, and at last on a new one.
        for _ in range(most):
            if _began(connection, statement):
                return
        raise psycopg.OperationalError("every new connection is lost at once")

    return engine


def _remember_violations(connection: Any, record: ConnectionPoolEntry) -> None:
    """Keep the last warning that a constraint was violated.

    Citus checks deferred constraints at COMMIT on the node that has the rows. What failed there comes as such
    a warning, and the error after it names no constraint.
    """

    def notice(told: psycopg.errors.Diagnostic) -> None:
        if str(told.sqlstate).startswith(_VIOLATION):
            record.info[_VIOLATED] = told.message_primary

    connection.driver_connection.add_notice_handler(notice)


def _recognise_violation(context: ExceptionContext) -> IntegrityError | None:
    """Return the error that PostgreSQL itself would have raised, None if this one is something else."""
    error, connection = context.original_exception, context.connection
    if not isinstance(error, psycopg.InternalError) or connection is None or connection.invalidated:
        return None
    violated = connection.info.get(_VIOLATED)
    return None if violated is None else IntegrityError(str(violated), None, error, hide_parameters=True)


def _began(connection: Connection, statement: str) -> bool:
    """Begin the transaction; return False if the connection is lost, which then leaves the pool."""
    # If the last connection was lost, this is a new one.
    driver: Any = connection.connection
    try:
        # The driver would prepare this at the fifth execution, but two statements at once cannot be prepared.
        driver.run_async(lambda real: real.execute(statement, prepare=False))
    except psycopg.OperationalError as error:
        if not driver.driver_connection.closed:
            raise
        connection.invalidate(error)
        return False
    return True


def session_options(organisation_id: UUID | Across) -> str:
    """Return the options of a connection that serves one organisation, or all, for its whole life. It must
    lead to PostgreSQL itself: poolers refuse such options, or ignore them.
    """
    settings = {**_SETTINGS, "tournee.organisation": _whose(organisation_id)}
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def set_locally(organisation_id: UUID | Across | None) -> str:
    """Return the statements that make a transaction serve one organisation, all of them, or none."""
    return f"SET LOCAL tournee.organisation = '{_whose(organisation_id)}'; {_LOCALLY}"


def _whose(organisation_id: UUID | Across | None) -> str:
    return organisation_id.value if isinstance(organisation_id, Across) else str(organisation_id or "")


# The same as `_begin` for reading, for a message that may hold other statements but no two in one text.
BEGIN_READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"


@cache
def serve_locally(seconds: float | None) -> str:
    """Return a statement that takes the organisation as its parameter, and makes a transaction serve it."""
    settings = _SETTINGS if seconds is None else {**_SETTINGS, "statement_timeout": _milliseconds(seconds)}
    return "SELECT set_config('tournee.organisation', %s, true), " + ", ".join(
        f"set_config('{name}', '{value}', true)" for name, value in settings.items()
    )


def _milliseconds(seconds: float) -> str:
    return str(max(1, round(seconds * 1000)))


def _begin(options: Mapping[str, Any]) -> str:
    kind = "READ COMMITTED, READ WRITE" if options.get("tournee_writes") else "REPEATABLE READ, READ ONLY"
    begin = f"BEGIN ISOLATION LEVEL {kind}; {set_locally(options.get(ORGANISATION))}"
    seconds = options.get(_SECONDS)
    return begin if seconds is None else f"{begin}; SET LOCAL statement_timeout = {_milliseconds(seconds)}"
