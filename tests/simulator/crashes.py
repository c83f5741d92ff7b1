"""Where a server can die, and of what. A trap is set for the next time the server comes by.

The points lie where a crash hurts most: before anything has a number, when the log is written but
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
    """The process is gone; nobody behind the network hears why."""


class Bug(Exception):
    """An error in a command that nobody foresaw."""


def _exception(kind: str) -> BaseException:
    if kind == "death":
        return Died()
    if kind == "cancellation":
        return asyncio.CancelledError()
    cause = psycopg.errors.DeadlockDetected if kind == "deadlock" else psycopg.errors.AdminShutdown
    return OperationalError("simulated", None, cause("simulated"))


class Traps:
    """One trap at a time, sprung once; and bugs that wait for certain operations."""

    def __init__(self) -> None:
        self.set: tuple[str, str] | None = None
        self.sprung: tuple[str, str] | None = None
        self.clear()

    def clear(self) -> None:
        """Another story begins."""
        # In how many requests each operation still hits a bug, and which did in this one, or in any.
        self.bugs: dict[str, int] = {}
        self._met: set[str] = set()
        self.times: Counter[str] = Counter()
        # Those that met theirs twice in one request: a server that heard nothing of its commit tries again.
        self.twice: set[str] = set()
        # Which inputs of which command break the server until another version is deployed.
        self.defect: Callable[[str, Any], bool] | None = None
        # Whether the request that is just over met a bug.
        self.met = False

    def arm(self, point: str, kind: str) -> None:
        # What is committed no deadlock takes back.
        kind = "death" if (point, kind) == ("after commit", "deadlock") else kind
        self.set, self.sprung = (point, kind), None

    def disarm(self) -> tuple[str, str] | None:
        """Take the trap away; says which one it was if it was sprung."""
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
        """A request is over: a server that tried once more in it met the same bug."""
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
    """Lay the points out along the server's way. Mutants are applied inside, so that they pass them too."""
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
