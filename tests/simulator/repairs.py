"""A defective version of the server is deployed and later fixed.

The office retries or dismisses the operations that the defect stopped. Only some seeds do this, so that
the others keep their stories.
"""

from __future__ import annotations

import random
import zlib
from typing import TYPE_CHECKING, Any

from tests.simulator.crashes import TRAPS
from tests.simulator.device import Deed, Document, Draft
from tests.simulator.field import Fieldwork, View
from tests.simulator.inbox import FAILED
from tests.simulator.office import Office

if TYPE_CHECKING:
    from tests.simulator.simulation import Simulation
    from tests.simulator.world import Company

# The last digit of the seeds that do this.
SEEDS = (6, 9)
# The commands that a version may break, besides those that create records.
_BROKEN = ("addNote", "startWork", "updateWorkOrder", "usePart", "answerChecklistItem", "createMeter")


class Repairs:
    """The defects of the deployed versions."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self.dice = random.Random(f"repairs {seed}")
        self.simulation = simulation
        self.happens = seed % 10 in SEEDS
        self.breaks_in = self.dice.randint(3, 25)

    async def step(self) -> None:
        if not self.happens:
            return
        self.breaks_in -= 1
        if self.breaks_in == 0:
            self._break({"createAsset", "createWorkOrder", *self.dice.sample(_BROKEN, 3)})
        choice = self.dice.random()
        company = self.simulation.ours if choice < 0.9 else self.simulation.theirs
        if TRAPS.defect is not None and choice < 0.05:
            self.deploy()
        elif TRAPS.defect is not None and choice < 0.5:
            await self._go_on(company)
        elif choice < 0.65:
            await self._decide(self.simulation.offices[company.mark])

    def _break(self, commands: set[str]) -> None:
        """Break half of all inputs of some commands, chosen by the input alone."""
        halves = self.dice.randint(0, 1)

        def defect(name: str, do: Any) -> bool:
            return name in commands and zlib.crc32(repr(do).encode()) % 2 == halves

        TRAPS.defect = defect
        self.simulation.note(f"{', '.join(sorted(commands))} have a defect")

    def deploy(self) -> None:
        if TRAPS.defect is not None:
            TRAPS.defect, self.breaks_in = None, self.dice.randint(5, 30)
            self.simulation.note("the defect is mended")

    async def _go_on(self, company: Company) -> None:
        """Record a new order or asset, or more about one, while the defect exists."""
        person = self.dice.choice(company.technicians)
        device = self.dice.choice(person.devices)
        made = [one for one in device.pending() if one.command in ("createAsset", "createWorkOrder")]
        if device.revoked:
            return
        if made and self.dice.random() < 0.5:
            drafts = [_about(self.dice.choice(made), device.new_id())]
        else:
            move = self.dice.choice([Fieldwork.report, Fieldwork.find_asset])
            drafts = move(self.simulation.fieldwork[company.mark], View(device), person, device)[:1]
        self.simulation.did(company, device, device.do(drafts, unit=False))
        await self.simulation.push(company, device)

    async def decide_all(self) -> None:
        """Decide most open entries before the end."""
        for office in self.simulation.offices.values():
            for conflict in self._failed(office) if self.happens else ():
                if self.dice.random() < 0.7:
                    await self._resolve(office, conflict)

    async def _decide(self, office: Office) -> None:
        failed = self._failed(office)
        stopped = [one for one in failed if one["kind"] == "OPERATION_QUARANTINED"]
        if failed:
            likely = stopped if stopped and self.dice.random() < 0.8 else failed
            await self._resolve(office, self.dice.choice(likely))

    def _failed(self, office: Office) -> list[Document]:
        conflicts = office.company.chronicle.rows["Conflict"].values()
        found = [one for one in conflicts if one["kind"] in FAILED and one["status"] == "OPEN"]
        return sorted(found, key=lambda one: str(one["id"]))

    async def _resolve(self, office: Office, conflict: Document) -> None:
        resolution = self.dice.choice(["RETRY", "RETRY", "DISMISS"])
        said = await office.do(
            "resolveConflict", conflictId=conflict["id"], resolution=resolution, note="Seen"
        )
        self.simulation.judge.read()
        self.simulation.note(f"office: {resolution} {conflict['kind']} {said}")


def _about(parent: Deed, id: str) -> Draft:
    record = parent.input["id"]
    if parent.command == "createAsset":
        meter = {"id": id, "assetId": record, "name": "Hours", "unit": "h", "kind": "GAUGE"}
        return Draft("createMeter", meter, record)
    return Draft("addNote", {"id": id, "workOrderId": record, "text": "Still dripping"}, record)
