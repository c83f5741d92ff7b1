"""Time and ids of a simulated world, both derived from the seed and not from the machine."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import UUID

import jwt.api_jwt

import tournee.auth.authenticate
import tournee.auth.standings
import tournee.kernel.entity
import tournee.sync.http.stream

BEGINNING = datetime(2026, 3, 2, 7, tzinfo=UTC)


class Clock:
    """The simulated time, and UUIDs of version 7 made at that time."""

    def __init__(self, seed: int) -> None:
        self.at = BEGINNING
        self._dice = random.Random(f"ids of {seed}")
        self._last = (0, 0)

    def advance(self, by: timedelta) -> None:
        self.at += by

    def new_id(self, skew: timedelta = timedelta()) -> UUID:
        """Return an id that sorts after all earlier ones; `skew` is the error of the maker's clock."""
        milliseconds = int((self.at + skew).timestamp() * 1000)
        count = self._last[1] + 1 if self._last[0] == milliseconds else 0
        self._last = (milliseconds, count)
        return UUID(int=milliseconds << 80 | 7 << 76 | count << 64 | 2 << 62 | self._dice.getrandbits(62))


_running: list[Clock] = []


def _now() -> datetime:
    return _running[-1].at if _running else datetime.now(UTC)


def _asks_the_clock() -> datetime:
    # It runs with the globals of the server's module, so it imports what it needs itself.
    from tests.simulator.clock import _now

    return _now()


class _Likeness(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, datetime)


class _Time(datetime, metaclass=_Likeness):
    """`datetime`, except that `now` returns the simulated time."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return _now()


def _seconds() -> float:
    return _now().timestamp()


@contextmanager
def simulated_time() -> Iterator[None]:
    """Make the server take the time and new ids from the simulation's clock."""
    import uuid_utils.compat

    def new_id() -> UUID:
        return _running[-1].new_id() if _running else uuid_utils.compat.uuid7()

    replaced: list[tuple[Any, str, Any]] = [
        (tournee.kernel.entity, "uuid_utils", SimpleNamespace(compat=SimpleNamespace(uuid7=new_id))),
        (tournee.auth.authenticate, "time", SimpleNamespace(monotonic=_seconds)),
        (tournee.auth.standings, "time", SimpleNamespace(monotonic=_seconds)),
        (tournee.sync.http.stream, "time", SimpleNamespace(monotonic=_seconds, time=_seconds)),
        (jwt.api_jwt, "datetime", _Time),
    ]
    # The function's code is replaced, not its name: columns hold it as their default.
    now, code = tournee.kernel.entity.now, tournee.kernel.entity.now.__code__
    with ExitStack() as stack:
        stack.callback(setattr, now, "__code__", code)
        now.__code__ = _asks_the_clock.__code__
        for module, name, value in replaced:
            stack.enter_context(patch.object(module, name, value))
        yield


@contextmanager
def running(clock: Clock) -> Iterator[Clock]:
    _running.append(clock)
    try:
        yield clock
    finally:
        _running.pop()
