"""Take backups of the database and restore one of them, which loses everything after it.

Only some seeds do this, so that the others keep their stories.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

from tests.simulator.native import NativeDevice
from tests.support.backups import SavedRows
from tournee.sync.devices.restored import begin_anew

if TYPE_CHECKING:
    from tests.simulator.simulation import Simulation
    from tests.simulator.world import Company

# The last digit of the seeds that do this.
SEEDS = (8, 9)
# The seeds, modulo 20, in which a lagging replica takes over.
FALLING_BACK = 11


class Backup:
    """All rows of these organisations at one moment."""

    def __init__(self, companies: list[Company]) -> None:
        self.rows = SavedRows(companies[0].stage.eye, [company.id for company in companies])
        self.leaps = {company.mark: Counter(company.chronicle.leaps) for company in companies}


class Backups:
    """Takes backups now and then, and rarely restores one."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self.dice = random.Random(f"backups {seed}")
        self.simulation = simulation
        self.falls_back = seed % 20 == FALLING_BACK
        self.happens = seed % 10 in SEEDS or self.falls_back
        self.last: Backup | None = None

    async def step(self) -> None:
        if not self.happens:
            return
        choice = self.dice.random()
        if choice < 0.06 or self.last is None:
            self._take()
        elif choice < 0.09:
            await (self._fall_back if self.falls_back else self._restore)(self.last)

    def _take(self) -> None:
        for company in self.simulation.judge.companies:
            for device in company.devices():
                if isinstance(device, NativeDevice) and self.last is None:
                    choice = self.dice.random()
                    device.repeats, device.keeps = choice < 0.5, choice >= 0.75
        self.last = Backup(self.simulation.judge.companies)
        self.simulation.note("a backup is taken")

    async def _restore(self, backup: Backup) -> None:
        """Stop the servers, restore the database, run `tournee restored`, start the servers."""
        stage = self.simulation.stage
        self.simulation.begin_restoring()
        await self.simulation.followers.drop_all()
        backup.rows.restore(stage.eye)
        await begin_anew(stage.database)
        await stage.restart()
        lost = self.simulation.judge.lost_history(backup.leaps)
        for company in self.simulation.judge.companies:
            for device in company.devices():
                device.resync()
        self.simulation.note(f"a backup is restored, {lost} deeds are lost")

    async def _fall_back(self, backup: Backup) -> None:
        """Restore the database under running servers: no new epoch, and numbers are used again."""
        stage = self.simulation.stage
        # In the newest seconds, which are lost, devices have pushed their work.
        for company in self.simulation.judge.companies:
            for device in company.devices():
                if not device.revoked:
                    await self.simulation.push(company, device)
        # Everything recorded from now on has a later time.
        self.simulation.begin_restoring()
        backup.rows.restore(stage.eye)
        lost = self.simulation.judge.fell_back(backup.leaps)
        self.simulation.note(f"a replica takes over, {lost} deeds are lost")
