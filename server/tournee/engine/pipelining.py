"""Pipelining: one statement is under way while the next one is made.

For a statement of many rows, this process takes about as long to make it as the database takes to run it. In
turns, each would wait half of the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

ResultT = TypeVar("ResultT")


class Pipeline:
    """The statements of one session, each sent when the one before has returned.

    Nothing else may use the session meanwhile. It is free at the end of the block, and after `arrived`.
    """

    def __init__(self) -> None:
        self._under_way: asyncio.Task[Any] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.arrived()
        elif self._under_way is not None:
            self._under_way.cancel()
            # The first error is the one to report.
            with suppress(Exception, asyncio.CancelledError):
                await self._under_way

    async def send(self, statement: Coroutine[Any, Any, ResultT]) -> asyncio.Task[ResultT]:
        """Send a statement once the one before has returned. Its errors are raised by the next call, or
        at the end.
        """
        try:
            await self.arrived()
        except BaseException:
            statement.close()
            raise
        self._under_way = task = asyncio.create_task(statement)
        # Let the task run until it waits for the database.
        await asyncio.sleep(0)
        return task

    async def arrived(self) -> None:
        """Wait until no statement is under way."""
        task, self._under_way = self._under_way, None
        if task is not None:
            await task
