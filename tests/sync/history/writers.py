"""Writer processes with several simultaneous transactions, killed and restarted from outside.

Some changes are made online by the office, some are pushed by devices.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import psycopg
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from tests.support.house import wire
from tests.sync.history.broken import BROKEN
from tests.sync.history.journal import Journal
from tests.sync.history.scene import Scene
from tournee.catalogue import COMMANDS, MEMBERSHIPS
from tournee.engine.database import Database
from tournee.kernel.command import Kernel
from tournee.kernel.entity import new_id, now
from tournee.kernel.errors import Refused
from tournee.kernel.outages import Outage
from tournee.kernel.transaction import Operation, Transaction
from tournee.sync.push.push import push
from tournee.sync.push.request import PushRequest

PROCESSES, WORKERS = 2, 4
# One in this many statements takes longer, so that transactions overlap in more ways.
_SLOW = 20


@dataclass(frozen=True)
class Plan:
    """A process's instructions. `broken` names the defect of its server."""

    scene: Scene
    directory: Path
    writes: int
    broken: str | None = None

    def writers(self, process: int | None = None) -> list[str]:
        """Return the writers' names in one process or in all."""
        processes = range(PROCESSES) if process is None else [process]
        return [f"{one}.{number}" for one in processes for number in range(WORKERS)]

    def written(self, process: int) -> int:
        """Return how many transactions its journals hold."""
        files = [self.directory / name for name in self.writers(process)]
        return sum(file.stat().st_size for file in files if file.exists())


def run(plan: Plan, process: int, turn: int) -> None:
    """Write the remaining transactions."""
    with ExitStack() as stack:
        if plan.broken is not None:
            stack.enter_context(BROKEN[plan.broken].applied())
        asyncio.run(_write_all(plan, process, turn))


async def _write_all(plan: Plan, process: int, turn: int) -> None:
    database = Database(plan.scene.url, pool_size=WORKERS + 1)
    dice = random.Random(f"{process} {turn}")

    @event.listens_for(database._writes.sync_engine, "after_cursor_execute")
    def dawdle(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if dice.random() * _SLOW < 1 or (statement.startswith("UPDATE head") and dice.random() < 0.3):
            await_only(asyncio.sleep(dice.random() * 0.02))

    await asyncio.gather(*(Writer(plan, database, name, turn).work() for name in plan.writers(process)))
    await database.close()


class Writer:
    """Runs one transaction after another."""

    def __init__(self, plan: Plan, database: Database, name: str, turn: int) -> None:
        self.plan = plan
        self.scene = plan.scene
        self.kernel = Kernel(database, MEMBERSHIPS)
        self.journal = Journal(plan.directory / name)
        self.dice = random.Random(f"{name} {turn}")
        self.device = uuid5(self.scene.organisation_id, name)
        self.made: list[UUID] = []

    async def work(self) -> None:
        unheard = self.journal.open
        if unheard is not None and unheard["push"]:
            await self._hand_in(unheard["means"], unheard["push"])
        elif unheard is not None:
            self.journal.give_up(unheard["means"])
        while (number := self.journal.next) <= self.plan.writes:
            if self.dice.random() < 0.4:
                operations = self._operations(number)
                self.journal.mean(number, operations)
                await self._hand_in(number, operations)
            else:
                self.journal.mean(number)
                await self._do(number)

    # -- online -------------------------------------------------------------------------------------------

    async def _do(self, number: int) -> None:
        moves: tuple[Callable[[], list[tuple[str, dict[str, Any]]]], ...]
        moves = (self._edit, self._edit, self._several, self._delete, self._reassign, self._reassign)
        commands = self.dice.choice(moves)()
        written: dict[int, str] = {}

        async def work(tx: Transaction) -> Transaction:
            for name, payload in commands:
                command = COMMANDS[name]
                await command.run(tx, command.parse(wire(payload)), Operation(name, now()))
            return tx

        try:
            tx = await self.kernel.transact(self.scene.actor(self.scene.manager), work)
            written = {entry.seq: str(entry.row.id) for entry in tx.entries}
        except Refused:
            pass
        except (DBAPIError, psycopg.Error, Outage):
            self.journal.give_up(number)
            return
        self.journal.hear(number, written)

    def _edit(self) -> list[tuple[str, dict[str, Any]]]:
        customer = self.dice.choice(self.scene.customers)
        return [("updateCustomer", {"customerId": customer, "phone": str(self.dice.random())})]

    def _reassign(self) -> list[tuple[str, dict[str, Any]]]:
        to = {"appointmentId": self.dice.choice(self.scene.visits)}
        name = self.dice.choice(["reassignAppointment", "reassignAppointment", "assignTechnician"])
        return [(name, to | {"technicianId": self.dice.choice(self.scene.technicians)})]

    def _several(self) -> list[tuple[str, dict[str, Any]]]:
        """Run one transaction of which no reader may see a part."""
        customer, contact = self.dice.choice(self.scene.customers), new_id()
        self.made.append(contact)
        return [
            ("createContact", {"id": contact, "customerId": customer, "name": "Demo Person"}),
            ("updateContact", {"contactId": contact, "phone": "1"}),
            ("createCustomer", {"name": f"Demo {contact}"}),
        ]

    def _delete(self) -> list[tuple[str, dict[str, Any]]]:
        if not self.made:
            return self._several()
        return [("deleteContact", {"contactId": self.made.pop()})]

    # -- from a device --------------------------------------------------------------------------------------

    def _operations(self, number: int) -> list[dict[str, Any]]:
        """Return operations that each create a record, which identifies them in the log."""
        made = []
        for place in range(3):
            customer: dict[str, Any] = {"name": f"Demo {self.device} {number} {place}"}
            note = {"workOrderId": str(self.dice.choice(self.scene.orders)), "text": "Demo note"}
            command, input = self.dice.choice([("createCustomer", customer), ("addNote", note)])
            made.append(
                {
                    "id": str(new_id()),
                    "number": 1 + len(self.journal.pushed()) + place,
                    "command": command,
                    "input": {"id": str(new_id()), **input},
                    "occurredAt": now().isoformat(),
                }
            )
        return made

    async def _hand_in(self, number: int, operations: list[dict[str, Any]]) -> None:
        """Push until there is an answer."""
        actor = self.scene.actor(self.scene.manager, self.device)
        while True:
            try:
                answer = await push(self.kernel, COMMANDS, actor, PushRequest(self.device, operations))
                break
            except (DBAPIError, psycopg.Error):
                await asyncio.sleep(0.01)
        assert all(o.status in ("applied", "duplicate") for o in answer.outcomes), answer.outcomes
        self.journal.hear(number, {outcome.seq or 0: str(outcome.record_id) for outcome in answer.outcomes})
