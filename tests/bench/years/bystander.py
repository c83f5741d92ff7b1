"""A bystander: somebody who does something unrelated, again and again, and notes how long it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager


class Bystander:
    """Does the same work with a pause after each time."""

    def __init__(self, work: Callable[[], Awaitable[object]], pause: float) -> None:
        self.work = work
        self.pause = pause
        self.seconds: list[float] = []

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        """Work on until the block ends; the last time is waited for and counts."""
        over = asyncio.Event()
        working = asyncio.create_task(self._work_until(over))
        try:
            yield
        finally:
            over.set()
            await working

    async def alone(self, seconds: float) -> None:
        async with self.beside():
            await asyncio.sleep(seconds)

    async def _work_until(self, over: asyncio.Event) -> None:
        while not over.is_set():
            started = time.perf_counter()
            await self.work()
            self.seconds.append(time.perf_counter() - started)
            await asyncio.sleep(self.pause)

    def quantile(self, part: float) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * part)]
