"""What an example is made of, and short names for the demo organisation's rows and times."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.support.house import House
from tournee.kernel.demo import demo_id
from tournee.kernel.entity import now

NOW = now().replace(microsecond=0)
TODAY = NOW.date()

Payload = dict[str, Any]
Rows = Mapping[UUID, dict[str, Any]]
Step = tuple[str, str, Payload]


@dataclass(frozen=True)
class Example:
    """A run of a command that succeeds on the demo organisation.

    `before` brings about the state it needs, online; `late` likewise, pushed from a device that knows
    nothing of `before`; `prepare` does what no command does. Where the id of a row is not known in
    advance, the payload is a function of what the office then sees. `reaches`: the technician's copy
    must change too; it always must where the technician acts. `unseen`: what it changes is no record,
    so that no copy may change. `carries_out`: the command that it runs for somebody else.
    """

    role: str
    payload: Payload | Callable[[Rows], Payload]
    before: Sequence[Step] = ()
    late: Sequence[Step] = ()
    prepare: Callable[[House], Awaitable[None]] | None = None
    reaches: bool = False
    unseen: bool = False
    carries_out: str | None = None

    def input(self, rows: Rows) -> Payload:
        return self.payload(rows) if callable(self.payload) else self.payload


def of(name: str) -> str:
    """The id of a demo row, or of one that the example makes."""
    return str(demo_id(name))


def at(*, days: float = 0, minutes: float = 0) -> str:
    return (NOW + timedelta(days=days, minutes=minutes)).isoformat()


def day(days: int) -> str:
    return (TODAY + timedelta(days=days)).isoformat()
