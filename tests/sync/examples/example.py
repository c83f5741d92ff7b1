"""The parts of an example, and short names for the demo organisation's rows and times."""

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

    `before` creates the state it needs online, `late` by a push from a device without `before`, and
    `prepare` by what no command does. When a row's id is unknown in advance, the payload is a function
    of the office's rows. `reaches`: the technician's copy must change too, as it always must when the
    technician acts. `unseen`: it changes no record, so no copy may change. `carries_out`: the command
    that it runs for another account.
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
    """Return the id of a demo row, or of one that the example creates."""
    return str(demo_id(name))


def at(*, days: float = 0, minutes: float = 0) -> str:
    return (NOW + timedelta(days=days, minutes=minutes)).isoformat()


def day(days: int) -> str:
    return (TODAY + timedelta(days=days)).isoformat()
