"""Outages: errors that pass by themselves. The database is away, storage is full, or too many clients ask at
once.

Each one tells the client when to come back. Driver errors are recognised here and nowhere else.
"""

from __future__ import annotations

import asyncio
import errno
import random
import sqlite3
from collections.abc import Awaitable, Callable
from typing import ClassVar, TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout


class Outage(Exception):
    """The request cannot be served now; come back after `retry_after` seconds."""

    code: ClassVar[str]
    message: ClassVar[str]
    pause: ClassVar[tuple[int, int]] = (2, 10)

    def __init__(self, retry_after: int | None = None) -> None:
        # Different for each client, so that they do not all come back at once.
        self.retry_after = random.randint(*self.pause) if retry_after is None else retry_after  # noqa: S311
        super().__init__(f"{self.message} ({self.retry_after} s)")


class Overloaded(Outage):
    """Too many at once for the lanes or the pool."""

    code = "OVERLOADED"
    message = "Too many clients ask at once; come back later."


class TooManyAtOnce(Overloaded):
    """This client itself asks for too much at once."""

    code = "TOO_MANY_AT_ONCE"
    message = "You ask for too much at once; come back later."


class DatabaseAway(Outage):
    """The database does not answer, or is starting, stopping or recovering."""

    code = "DATABASE_AWAY"
    message = "The database is away; come back later."


class StorageFull(Outage):
    """The database's disk is full."""

    code = "STORAGE_FULL"
    message = "The server has no space left; nothing was stored. Come back later."


class StorageReadOnly(Outage):
    """The database can be read but not written."""

    code = "STORAGE_READ_ONLY"
    message = "The server can read but not write; nothing was stored. Come back later."


class OrganisationFrozen(Outage):
    """The organisation is being moved to another server."""

    code = "ORGANISATION_FROZEN"
    message = "This organisation is being moved to another server; nothing was stored. Come back later."
    pause = (20, 40)


class OutcomeUnknown(Outage):
    """The connection was lost while a transaction was being committed."""

    code = "OUTCOME_UNKNOWN"
    message = (
        "The database went away while this was being stored: it may be stored or not."
        " Check before you send it again."
    )


class QueryTimeout(Exception):
    """A query took longer than it may."""

    code: ClassVar[str] = "TIMEOUT"
    message: ClassVar[str] = (
        "This query took too long and was stopped. Ask for fewer rows, or filter further."
    )

    def __init__(self) -> None:
        super().__init__(self.message)


def is_timeout(error: BaseException | None) -> bool:
    """Return whether the database, or we, stopped a query because it took too long."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT
    return isinstance(cause, QueryTimeout | psycopg.errors.QueryCanceled)


ResultT = TypeVar("ResultT")

# Seconds: long enough to replace a connection that was ended.
MOMENT = 0.3


async def reading_again(read: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Read, and read once more a moment later if the database went away: reading changes nothing."""
    try:
        return await read()
    except Exception as error:
        if not isinstance(outage_of(error), DatabaseAway):
            raise
    await asyncio.sleep(random.uniform(MOMENT, 2 * MOMENT))  # noqa: S311
    return await read()


# SQLSTATE classes of a server that is absent, shutting down or starting.
_AWAY = ("08", "57P")
_DISK_FULL = "53100"
_RESOURCES = "53"

# Writing into a full disk fails in the file, or in the index of the log beside it.
_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_WRITE})
_ANY_KIND = 0xFF
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def outage_of(error: BaseException | None) -> Outage | None:
    """Return the outage that this error comes from, or None if it is a bug or a refusal."""
    if isinstance(error, Outage):
        return error
    if isinstance(error, PoolTimeout):
        return Overloaded()
    if isinstance(error, OSError):
        return StorageFull() if error.errno in _NO_SPACE else None
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg.Error):
        kind = _of_postgresql(cause)
    elif isinstance(cause, sqlite3.Error):
        kind = _of_sqlite(cause)
    else:
        return None
    return None if kind is None else kind()


def _of_postgresql(cause: psycopg.Error) -> type[Outage] | None:
    state = cause.sqlstate
    if state is None:
        # The driver itself: it could not connect, or lost the connection.
        return DatabaseAway if isinstance(cause, psycopg.OperationalError) else None
    if state.startswith(_AWAY):
        return DatabaseAway
    if state == _DISK_FULL:
        return StorageFull
    return Overloaded if state.startswith(_RESOURCES) else None


def _of_sqlite(cause: sqlite3.Error) -> type[Outage] | None:
    code = getattr(cause, "sqlite_errorcode", None)
    if code is None:
        return None
    if code in _FULL:
        return StorageFull
    kinds = {
        sqlite3.SQLITE_READONLY: StorageReadOnly,
        sqlite3.SQLITE_CANTOPEN: DatabaseAway,
        sqlite3.SQLITE_BUSY: Overloaded,
    }
    return kinds.get(code & _ANY_KIND)
