"""One statement under way while the next is being made ready.

Making a statement of many rows takes this process about as long as carrying it out takes the
database's: done in turns, each waits for the other half of the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

ResultT = TypeVar("ResultT")


class Pipeline:
    """The statements of one session, each sent when the one before has come back.

    Nothing else may use the session meanwhile: at the end of the block, or after `arrived`, it is free.
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
            # The first error is the one to tell of.
            with suppress(Exception, asyncio.CancelledError):
                await self._under_way

    async def send(self, statement: Coroutine[Any, Any, ResultT]) -> asyncio.Task[ResultT]:
        """Send it once the one before has come back; its errors come with the next one, or at the end."""
        try:
            await self.arrived()
        except BaseException:
            statement.close()
            raise
        self._under_way = task = asyncio.create_task(statement)
        # It goes as far as it can without an answer: to the database.
        await asyncio.sleep(0)
        return task

    async def arrived(self) -> None:
        """Wait until nothing is under way."""
        task, self._under_way = self._under_way, None
        if task is not None:
            await task
