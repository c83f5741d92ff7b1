"""Lanes: how much work of one kind may run at once, so that no kind starves another.

Each kind has its own lane: a number of turns, and a queue with a limited length and wait. When the queue is
full or the wait is over, the client is told when to come back. The delay is random and grows with the number
of clients sent away before, at the pace at which turns end; otherwise clients that come back in vain would
take the time of those that could be served.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from dataclasses import dataclass, field

from tournee.kernel.actor import AccountKey
from tournee.kernel.outages import Overloaded, TooManyAtOnce

# The greatest `Retry-After`, however long the queue is.
_LONGEST_SECONDS = 300.0

# The weight of the latest turn in the average pace.
_LATEST = 0.05


class Lane:
    """`running` turns at once and `waiting` in the queue for `patience` seconds, of which one account has
    at most `each`.
    """

    def __init__(
        self,
        running: int,
        waiting: int,
        each: int,
        patience: float = 10.0,
        back_after: tuple[int, int] = (1, 5),
        pace: float = 0.0,
    ) -> None:
        self.running = running
        self.waiting = waiting
        self.each = each
        self.patience = patience
        self.back_after = back_after
        self._free = running
        self._line: deque[asyncio.Future[None]] = deque()
        self._held: dict[AccountKey, int] = {}
        # Seconds from the end of one turn to that of the next while others wait; a guess until it was
        # measured.
        self._pace = pace
        self._ended_at: float | None = None
        # The time until which future turns are promised to clients that were told to come back.
        self._spoken_for = 0.0

    def turn(self, who: AccountKey | None) -> Turn:
        """`async with lane.turn(actor.key): …`; raises Overloaded."""
        return Turn(self, who)

    def overloaded(self, greedy: bool = False) -> Overloaded:
        spread = random.randint(*self.back_after)  # noqa: S311 - to spread them, no secret
        return TooManyAtOnce(spread) if greedy else Overloaded(spread + round(self._behind()))

    def _behind(self) -> float:
        """Return the seconds that earlier clients still need."""
        at = time.monotonic()
        latest = at + _LONGEST_SECONDS
        self._spoken_for = min(max(self._spoken_for, at) + self._pace, latest)
        return self._spoken_for - at

    def count(self, who: AccountKey) -> None:
        held = self._held.get(who, 0)
        if held >= self.each:
            raise self.overloaded(greedy=True)
        self._held[who] = held + 1

    def discount(self, who: AccountKey) -> None:
        self._held[who] -= 1
        if not self._held[who]:
            del self._held[who]

    @property
    def is_full(self) -> bool:
        """Whether there is neither a free turn nor a place in the queue."""
        return not self._free and len(self._line) >= self.waiting

    async def acquire(self) -> None:
        if self._free:
            self._free -= 1
            return
        if self.is_full:
            raise self.overloaded()
        loop = asyncio.get_running_loop()
        place: asyncio.Future[None] = loop.create_future()
        self._line.append(place)
        timer = loop.call_later(self.patience, self._lose_patience, place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():
                # The turn came just as the wait was cancelled.
                self.release()
            raise
        finally:
            timer.cancel()

    def _lose_patience(self, place: asyncio.Future[None]) -> None:
        if not place.done():
            self._line.remove(place)
            place.set_exception(self.overloaded())

    def _note_pace(self) -> None:
        at = time.monotonic()
        if self._line and self._ended_at is not None:
            self._pace += _LATEST * (at - self._ended_at - self._pace)
        self._ended_at = at if self._line else None

    def release(self) -> None:
        self._note_pace()
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1


class Turn:
    """One turn in a lane."""

    def __init__(self, lane: Lane, who: AccountKey | None) -> None:
        self._lane = lane
        self._who = who

    async def __aenter__(self) -> None:
        if self._who is not None:
            self._lane.count(self._who)
        try:
            await self._lane.acquire()
        except BaseException:
            self._discount()
            raise

    async def __aexit__(self, *_error: object) -> None:
        self._discount()
        self._lane.release()

    def _discount(self) -> None:
        if self._who is not None:
            self._lane.discount(self._who)


@dataclass(frozen=True)
class Lanes:
    """The lanes of one process. Lanes that read let fewer in than the pool for reading has connections;
    pushes use the pool for writing, which mutations and jobs share.
    """

    pushes: Lane = field(default_factory=lambda: Lane(8, 400, 4, patience=20.0, back_after=(5, 30)))
    pulls: Lane = field(default_factory=lambda: Lane(4, 200, 4, back_after=(5, 20)))
    snapshots: Lane = field(default_factory=lambda: Lane(2, 20, 2, back_after=(5, 30)))
    # Checking a password takes a core a quarter of a second; a renewal is a short transaction.
    sign_ins: Lane = field(default_factory=lambda: Lane(2, 40, 2, 15.0, back_after=(5, 30), pace=0.2))
    renewals: Lane = field(default_factory=lambda: Lane(3, 300, 4, back_after=(5, 30)))
    queries: Lane = field(default_factory=lambda: Lane(8, 200, 64))
    streams: Lane = field(default_factory=lambda: Lane(5_000, 0, 100, back_after=(5, 30)))
