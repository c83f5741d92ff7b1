"""People undo an edit that they have just made.

If the edit hit a server bug and did not apply, the undo changes nothing there. Only some seeds do
this, so that the others keep their stories.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.simulator.crashes import TRAPS
from tests.simulator.device import KIND, Deed, Device, Draft
from tests.simulator.edits import EDITS

if TYPE_CHECKING:
    from tests.simulator.simulation import Simulation
    from tests.simulator.world import Company

# The seeds, modulo 20, that do this.
SEEDS = 14
_FIELDS = {
    "updateWorkOrder": ("WorkOrder", ("symptom", "cause", "resolution")),
    "updateAsset": ("Asset", ("notes", "serialNumber", "externalKey")),
}


class Regrets:
    """Edits that people undo."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self.dice = random.Random(f"regrets {seed}")
        self.simulation = simulation
        self.happens = seed % 20 == SEEDS

    async def step(self) -> None:
        if not self.happens or self.dice.random() >= 0.2:
            return
        company = self.simulation.ours
        device = self.dice.choice([one for person in company.technicians for one in person.devices])
        command = self.dice.choice(list(_FIELDS))
        entity, names = _FIELDS[command]
        name = self.dice.choice(names)
        rows = [row for row in device.rows().values() if row[KIND] == entity]
        if device.revoked or not rows:
            return
        row = self.dice.choice(sorted(rows, key=lambda row: str(row["id"])))
        (deed,) = self._write(company, device, command, row["id"], name, f"R{self.dice.randint(0, 9)}")
        if self.dice.random() < 0.6:
            TRAPS.bugs[deed.id] = self.dice.choice([1, 2])
            self.simulation.judge.will_crash(company, deed, TRAPS.bugs[deed.id])
        if self.dice.random() < 0.5:
            await self.simulation.push(company, device)
        self.simulation.clock.advance(timedelta(seconds=self.dice.randint(1, 9)))
        self._write(company, device, command, row["id"], name, row[name])
        self.simulation.judge.counts["edits undone"] += 1
        if self.dice.random() < 0.5:
            await self.simulation.push(company, device)

    def _write(
        self, company: Company, device: Device, command: str, id: str, name: str, value: str | None
    ) -> list[Deed]:
        draft = Draft(command, {EDITS[command]: id, name: value}, id, binding=False)
        deeds = device.do([draft], unit=False)
        self.simulation.did(company, device, deeds)
        return deeds
