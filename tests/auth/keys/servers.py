"""What the tests of keys share: the stores of several servers, and a clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tournee.auth.keys.store import KeyStore
from tournee.kernel.entity import now

Stores = Callable[..., KeyStore]


class Clock:
    """The time as keys see it, which the test moves."""

    def __init__(self) -> None:
        self.passed = timedelta()

    def __call__(self) -> Any:
        return now() + self.passed

    def move(self, **by: float) -> None:
        self.passed += timedelta(**by)
