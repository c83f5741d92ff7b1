"""Counts failed passwords for a while, so that nobody can guess thousands of times.

The counts are in the memory of each process. So the limit applies to each process, which still allows few
guesses, and strangers cause no writes.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from ipaddress import IPv6Address, IPv6Network, ip_address
from time import monotonic
from typing import Generic, TypeVar

from tournee.kernel.errors import Refused

WINDOW = 300.0
BY_NAME = 10
BY_ADDRESS = 100
_MOST = 50_000

KeyT = TypeVar("KeyT")


class TooManyAttempts(Refused):
    """Too many wrong passwords; wait before you try again."""

    code = "TOO_MANY_ATTEMPTS"

    def __init__(self, seconds: int) -> None:
        super().__init__(details={"retryAfter": seconds})


class Attempts(Generic[KeyT]):
    """Counts failed attempts by key: after `allowed` of them within WINDOW seconds, the key must wait."""

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed
        self._failures: dict[KeyT, deque[float]] = {}

    def wait(self, key: KeyT) -> int:
        """Return the seconds until the next attempt is allowed; 0 if it is allowed now."""
        failures = self._failures.get(key)
        if failures is None or len(failures) < self.allowed:
            return 0
        left = failures[0] + WINDOW - monotonic()
        return int(left) + 1 if left > 0 else 0

    def begin(self, key: KeyT) -> float:
        """Count an attempt as failed before its outcome is known, because otherwise many attempts at once
        would all pass.
        """
        at = monotonic()
        failures = self._failures.pop(key, None) or deque(maxlen=self.allowed)
        failures.append(at)
        if len(self._failures) >= _MOST:
            del self._failures[next(iter(self._failures))]
        self._failures[key] = failures
        return at

    def succeeded(self, key: KeyT, at: float) -> None:
        """Forget the attempt that began then, and no other: somebody who knows one password may be guessing
        another.
        """
        failures = self._failures.get(key)
        if failures is None:
            return
        with contextlib.suppress(ValueError):
            failures.remove(at)
        if not failures:
            del self._failures[key]


class SignIns:
    """Counts failed sign-ins, by e-mail and address together, and by address alone."""

    def __init__(self) -> None:
        self._by_name: Attempts[tuple[str, str]] = Attempts(BY_NAME)
        self._by_address: Attempts[str] = Attempts(BY_ADDRESS)

    def wait(self, name: str, address: str) -> int:
        """Return the seconds until the next attempt is allowed; 0 if it is allowed now."""
        network = network_of(address)
        return max(self._by_name.wait((name, network)), self._by_address.wait(network))

    def begin(self, name: str, address: str) -> Callable[[], None]:
        """Count an attempt; call the returned function once it has succeeded."""
        network = network_of(address)
        by_name, by_address = self._by_name.begin((name, network)), self._by_address.begin(network)

        def succeeded() -> None:
            self._by_name.succeeded((name, network), by_name)
            self._by_address.succeeded(network, by_address)

        return succeeded


def network_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(IPv6Network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address
