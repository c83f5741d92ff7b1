"""Counts failed passwords for a while, so that nobody can guess thousands of times.

Each process counts in memory the attempts that it has begun, whose outcome is open, and those that failed.
Where several processes serve, the database counts the failures of all of them.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Network, ip_address
from time import monotonic
from typing import Generic, TypeVar

from tournee.auth.failures import WINDOW, Failures, Limit
from tournee.engine.database import Database
from tournee.kernel.actor import AccountKey
from tournee.kernel.errors import Refused

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


@dataclass(frozen=True)
class Attempt:
    """An attempt that has begun. Until it has succeeded, it counts as failed in this process."""

    limits: Sequence[Limit]
    failures: Failures
    succeeded: Callable[[], None]

    async def wait(self) -> int:
        """Return the seconds to wait for what failed at all servers; then this is no attempt, otherwise 0."""
        if wait := await self.failures.wait(self.limits):
            self.succeeded()
        return wait

    async def failed(self) -> None:
        """Count it for all servers."""
        await self.failures.add(self.limits)


class SignIns:
    """Counts failed sign-ins, by e-mail and address together, and by address alone."""

    def __init__(self, failures: Failures) -> None:
        self._failures = failures
        self._by_name: Attempts[tuple[str, str]] = Attempts(BY_NAME)
        self._by_address: Attempts[str] = Attempts(BY_ADDRESS)

    def wait(self, name: str, address: str) -> int:
        """Return the seconds until this process allows the next attempt; 0 if it does now."""
        network = network_of(address)
        return max(self._by_name.wait((name, network)), self._by_address.wait(network))

    def begin(self, name: str, address: str) -> Attempt:
        """Count an attempt."""
        network = network_of(address)
        by_name, by_address = self._by_name.begin((name, network)), self._by_address.begin(network)

        def succeeded() -> None:
            self._by_name.succeeded((name, network), by_name)
            self._by_address.succeeded(network, by_address)

        limits = (Limit.of(BY_NAME, "name", name, network), Limit.of(BY_ADDRESS, "address", network))
        return Attempt(limits, self._failures, succeeded)


class Guesses:
    """Counts guesses of an account's present password: a stolen token must not help to guess it."""

    def __init__(self) -> None:
        # By organisation and account, because another organisation may have an account of the same id.
        self._by_account: Attempts[AccountKey] = Attempts(BY_NAME)

    async def begin(self, database: Database, account: AccountKey) -> Attempt:
        """Count a guess; raises TooManyAttempts if the account must wait."""
        if wait := self._by_account.wait(account):
            raise TooManyAttempts(wait)
        began = self._by_account.begin(account)
        limit = Limit.of(BY_NAME, "password", *map(str, account))
        attempt = Attempt((limit,), Failures(database), lambda: self._by_account.succeeded(account, began))
        if wait := await attempt.wait():
            raise TooManyAttempts(wait)
        return attempt


def network_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(IPv6Network((parsed, 64), strict=False)) if isinstance(parsed, IPv6Address) else address
