"""A promise that was not kept."""

from __future__ import annotations


class Violation(AssertionError):
    """The promise, and what was seen instead."""

    def __init__(self, promise: str, seen: str) -> None:
        self.promise = promise
        self.seen = seen
        super().__init__(f"NOT SO: {promise}. {seen}")

    def __reduce__(self) -> tuple[type[Violation], tuple[str, str]]:
        return Violation, (self.promise, self.seen)


def require(kept: bool, promise: str, seen: object = "") -> None:
    if not kept:
        raise Violation(promise, str(seen))
