"""Backups of the database are taken, and one of them is restored: what came after it is lost.

In some seeds only: the stories of the others stay what they were.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, delete, insert, select

from tests.simulator.native import NativeDevice
from tournee.kernel.database import Base
from tournee.sync.restored import begin_anew

if TYPE_CHECKING:
    from tests.simulator.simulation import Simulation
    from tests.simulator.world import Company

# The last digit of those in which it happens.
SEEDS = (8, 9)


class Backup:
    """All rows of these companies, as they are now."""

    def __init__(self, companies: list[Company]) -> None:
        self._eye = companies[0].stage.eye
        self._companies = [company.id for company in companies]
        self.leaps = {company.mark: Counter(company.chronicle.leaps) for company in companies}
        with self._eye.connect() as eye:
            self._rows: dict[Table, list[dict[str, Any]]] = {
                table: [dict(row) for row in eye.execute(select(table).where(self._own(table))).mappings()]
                for table in Base.metadata.sorted_tables
            }

    def _own(self, table: Table) -> Any:
        whose = table.c.organisation_id if "organisation_id" in table.c else table.c.id
        return whose.in_(self._companies)

    def restore(self) -> None:
        with self._eye.connect() as eye:
            self._begin(eye)
            for table in reversed(self._rows):
                eye.execute(delete(table).where(self._own(table)))
            for table, rows in self._rows.items():
                if rows:
                    eye.execute(insert(table), rows)
            self._end(eye)

    def _begin(self, eye: Connection) -> None:
        """Rows refer to each other in circles; the copy is whole when it is there."""
        on_sqlite = eye.dialect.name == "sqlite"
        eye.exec_driver_sql("BEGIN" if on_sqlite else "SET session_replication_role = replica")

    def _end(self, eye: Connection) -> None:
        on_sqlite = eye.dialect.name == "sqlite"
        eye.exec_driver_sql("COMMIT" if on_sqlite else "SET session_replication_role = DEFAULT")


class Backups:
    """Taken now and then; seldom one is needed."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self.dice = random.Random(f"backups {seed}")
        self.simulation = simulation
        self.happens = seed % 10 in SEEDS
        self.last: Backup | None = None

    async def step(self) -> None:
        if not self.happens:
            return
        choice = self.dice.random()
        if choice < 0.06 or self.last is None:
            self._take()
        elif choice < 0.09:
            await self._restore(self.last)

    def _take(self) -> None:
        for company in self.simulation.judge.companies:
            for device in company.devices():
                if isinstance(device, NativeDevice) and self.last is None:
                    device.repeats = self.dice.random() < 0.5
        self.last = Backup(self.simulation.judge.companies)
        self.simulation.note("a backup is taken")

    async def _restore(self, backup: Backup) -> None:
        """Servers stop, the database is what it was, `tournee restored`, servers start."""
        stage = self.simulation.stage
        self.simulation.begin_restoring()
        await self.simulation.followers.drop_all()
        backup.restore()
        await begin_anew(stage.database)
        await stage.restart()
        lost = self.simulation.judge.lost_history(backup.leaps)
        for company in self.simulation.judge.companies:
            for device in company.devices():
                device.resync()
        self.simulation.note(f"a backup is restored, {lost} deeds are lost")
