"""Failed sign-ins, counted for a while, so that nobody tries passwords by the thousand.

In the memory of each process: a guesser gets as many tries as there are processes, which is still
few, and no table is written by strangers.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque

WINDOW = 300.0
_ALLOWED_BY_NAME = 10
_ALLOWED_BY_ADDRESS = 100
_MOST = 50_000


class Attempts:
    """Counts failures by account and address together, and by address alone."""

    def __init__(self) -> None:
        self._failures: dict[tuple[str, str], deque[float]] = {}

    def wait(self, name: str, address: str) -> int:
        """Seconds until the next try is let through, 0 for at once."""
        return max(
            self._wait((name, address), _ALLOWED_BY_NAME), self._wait(("", address), _ALLOWED_BY_ADDRESS)
        )

    def begin(self, name: str, address: str) -> float:
        """Count a try as failed before its outcome is known, or many at once would all be let through."""
        at = time.monotonic()
        for key, allowed in (((name, address), _ALLOWED_BY_NAME), (("", address), _ALLOWED_BY_ADDRESS)):
            failures = self._failures.pop(key, None) or deque(maxlen=allowed)
            failures.append(at)
            if len(self._failures) >= _MOST:
                del self._failures[next(iter(self._failures))]
            self._failures[key] = failures
        return at

    def succeeded(self, name: str, address: str, at: float) -> None:
        """Forget the try that began then, and what this name's owner mistyped before it."""
        self._failures.pop((name, address), None)
        with contextlib.suppress(KeyError, ValueError):
            self._failures["", address].remove(at)

    def _wait(self, key: tuple[str, str], allowed: int) -> int:
        failures = self._failures.get(key)
        if failures is None or len(failures) < allowed:
            return 0
        left = failures[0] + WINDOW - time.monotonic()
        return int(left) + 1 if left > 0 else 0
