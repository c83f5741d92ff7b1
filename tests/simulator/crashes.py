"""Where and how a server can crash: a trap is sprung when the server next reaches its point.

The points are where a crash hurts most: before anything has a number, when the log is written but
not committed, at the commit, and between the commit and the answer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import psycopg.errors
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

import tournee.kernel.transaction
from tournee.engine.database import Database, WriteSession
from tournee.kernel.command import Command

POINTS = ("before the head", "after the log", "at commit", "after commit")
KINDS = ("death", "cancellation", "deadlock", "lost connection")


class Died(BaseException):
    """The process died; no client learns why."""


class Bug(Exception):
    """An unforeseen error in a command."""


def _exception(kind: str) -> BaseException:
    if kind == "death":
        return Died()
    if kind == "cancellation":
        return asyncio.CancelledError()
    cause = psycopg.errors.DeadlockDetected if kind == "deadlock" else psycopg.errors.AdminShutdown
    return OperationalError("simulated", None, cause("simulated"))


class Traps:
    """One trap at a time, sprung once, and bugs that certain operations hit."""

    def __init__(self) -> None:
        self.set: tuple[str, str] | None = None
        self.sprung: tuple[str, str] | None = None
        self.clear()

    def clear(self) -> None:
        """Reset for another story."""
        # In how many more requests each operation hits a bug, and which did in this request or in any.
        self.bugs: dict[str, int] = {}
        self._met: set[str] = set()
        self.times: Counter[str] = Counter()
        # Operations that hit theirs twice in one request: a server retries after an unanswered commit.
        self.twice: set[str] = set()
        # The inputs of each command that crash the server until another version is deployed.
        self.defect: Callable[[str, Any], bool] | None = None
        # Whether the last request hit a bug.
        self.met = False

    def arm(self, point: str, kind: str) -> None:
        # A deadlock cannot undo a commit.
        kind = "death" if (point, kind) == ("after commit", "deadlock") else kind
        self.set, self.sprung = (point, kind), None

    def disarm(self) -> tuple[str, str] | None:
        """Remove the trap; return its name if it was sprung."""
        self.set = None
        sprung, self.sprung = self.sprung, None
        return sprung

    def pass_by(self, point: str) -> None:
        if self.set is not None and self.set[0] == point:
            self.sprung, self.set = self.set, None
            raise _exception(self.sprung[1])

    def meet(self, operation: str, command: str, do: Any) -> None:
        if self.bugs.get(operation, 0) > 0 or (self.defect is not None and self.defect(command, do)):
            self._met.add(operation)
            raise Bug(operation)

    def pass_on(self) -> None:
        """End a request; a server that retried within it hit the same bug."""
        if self.sprung == ("after commit", "lost connection"):
            self.twice |= self._met
        for operation in self._met & self.bugs.keys():
            self.bugs[operation] -= 1
        self.times.update(self._met)
        self.met = bool(self._met)
        self._met.clear()


TRAPS = Traps()


@contextmanager
def trapped() -> Iterator[Traps]:
    """Install the points in the server. Mutants are applied inside, so that they pass them too."""
    publish = tournee.kernel.transaction.publish
    announce = Database.announce
    run = Command.run

    async def publishing(tx: Any, behind: Any) -> int:
        TRAPS.pass_by("before the head")
        last = await publish(tx, behind)
        TRAPS.pass_by("after the log")
        return last

    def announcing(database: Database, *about: Any) -> None:
        TRAPS.pass_by("after commit")
        announce(database, *about)

    async def running(command: Any, tx: Any, do: Any, operation: Any) -> Any:
        if operation.device_id is not None:
            TRAPS.meet(str(operation.id), command.name, do)
        return await run(command, tx, do, operation)

    def committing(_session: Any) -> None:
        TRAPS.pass_by("at commit")

    event.listen(WriteSession, "before_commit", committing)
    with ExitStack() as stack:
        stack.callback(event.remove, WriteSession, "before_commit", committing)
        stack.enter_context(patch.object(tournee.kernel.transaction, "publish", publishing))
        stack.enter_context(patch.object(Database, "announce", announcing))
        stack.enter_context(patch.object(Command, "run", running))
        yield TRAPS
