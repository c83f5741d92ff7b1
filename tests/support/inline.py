"""SQLite without its threads: each statement runs in the calling thread.

A test that does one thing at a time gains by it: a thread for each connection only costs time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import aiosqlite.core


class _AtOnce:
    """Replaces the queue to a connection's thread."""

    def put_nowait(self, task: tuple[asyncio.Future[Any] | None, Callable[[], Any]]) -> None:
        future, function = task
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - passed on, as the thread would
            if future is not None:
                future.set_exception(error)
        else:
            if future is not None:
                future.set_result(result)


@contextmanager
def without_threads() -> Iterator[None]:
    made = aiosqlite.core.Connection.__init__

    def make(connection: Any, *given: Any, **named: Any) -> None:
        made(connection, *given, **named)
        connection._tx = _AtOnce()
        connection._thread = SimpleNamespace(start=lambda: None, daemon=True)

    with patch.object(aiosqlite.core.Connection, "__init__", make):
        yield
