"""Pauses between attempts: exponential, with full jitter, never shorter than the server asks for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tournee_client.errors import Offline

T = TypeVar("T")


@dataclass(frozen=True)
class Backoff:
    """How often to try, and how long to wait between attempts; `base` and `cap` are in seconds."""

    attempts: int = 6
    base: float = 0.5
    cap: float = 60.0
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    random: Callable[[], float] = random.random

    def delay(self, attempt: int, retry_after: float | None = None) -> float:
        """Return the seconds to wait after failed attempt number `attempt` (from 0)."""
        # Jitter is added to Retry-After: devices with the same Retry-After must not all return at once.
        longest = min(self.cap, self.base * 2.0 ** min(attempt, 30))
        return (retry_after or 0.0) + longest * self.random()

    async def pause(self, attempt: int, retry_after: float | None = None) -> None:
        """Wait before the next attempt."""
        await self.sleep(self.delay(attempt, retry_after))

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call until it succeeds; raise `Offline` after the last attempt or a Retry-After above `cap`."""
        for attempt in range(self.attempts - 1):
            try:
                return await call()
            except Offline as offline:
                if (offline.retry_after or 0.0) > self.cap:
                    raise
                await self.pause(attempt, offline.retry_after)
        return await call()
