"""Too much at once, or no database: when to come back, never a plain error."""

from __future__ import annotations

import random

import psycopg
import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tournee.answers import Json, coded
from tournee.kernel.lanes import Overloaded

# SQLSTATE classes of a server that is not there, is full, or is going down or coming up.
_UNREACHABLE = ("08", "53", "57P")


def overload_of(error: Exception) -> Overloaded | None:
    """What the error comes to for the client, if it is one that passes."""
    if isinstance(error, Overloaded):
        return error
    if isinstance(error, PoolTimeout) or _is_unreachable(error):
        structlog.get_logger().warning("database_overloaded", error=repr(error)[:300])
        return Overloaded(random.randint(2, 10))  # noqa: S311 - to spread them, no secret
    return None


def _is_unreachable(error: Exception) -> bool:
    cause = error.orig if isinstance(error, OperationalError) else error
    if isinstance(cause, psycopg.OperationalError):
        return cause.sqlstate is None or cause.sqlstate.startswith(_UNREACHABLE)
    return isinstance(error, OperationalError) and "database is locked" in str(cause)


def come_back(overloaded: Overloaded) -> Json:
    """429 to a client that asks for too much by itself, else 503; both say after how many seconds."""
    after = {"Retry-After": str(overloaded.retry_after)}
    if overloaded.greedy:
        return coded(429, "TOO_MANY_AT_ONCE", "You ask for too much at once; come back later.", headers=after)
    return coded(503, "OVERLOADED", "Too many ask at once; come back later.", headers=after)
