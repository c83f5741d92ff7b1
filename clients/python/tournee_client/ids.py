"""UUIDv7 (RFC 9562), increasing within the process and beyond any id passed to `follow`."""

from __future__ import annotations

import secrets
import threading
import time
from uuid import UUID


class _Ticks:
    """Milliseconds and, below them, a 12-bit counter that carries into the milliseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        with self._lock:
            now = time.time_ns() // 1_000_000 << 12 | secrets.randbits(11)
            self._last = max(now, self._last + 1)
            return self._last

    def follow(self, tick: int) -> None:
        with self._lock:
            self._last = max(tick, self._last)


_ticks = _Ticks()


def uuid7() -> UUID:
    """Return an id that sorts after every earlier one of this process, even if the clock was set back."""
    tick = _ticks.next()
    return UUID(int=tick >> 12 << 80 | 0x7 << 76 | (tick & 0xFFF) << 64 | 0b10 << 62 | secrets.randbits(62))


def follow(id: UUID) -> None:
    """Make every later id of this process sort after this one."""
    _ticks.follow(id.int >> 80 << 12 | id.int >> 64 & 0xFFF)


def new_id() -> str:
    """Return a `uuid7` as text, as the protocol writes it."""
    return str(uuid7())
