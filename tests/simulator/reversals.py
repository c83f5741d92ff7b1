"""Reversals of stock movements, and movements that are sent twice.

A movement may be unsent or old, from the same or another person, and reversed from any device and more
than once. Only some seeds do this, so that the others keep their stories.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.simulator.device import KIND, Deed, Device, Document, Draft
from tests.simulator.field import View
from tests.simulator.stock import stockwork
from tests.simulator.violations import require

if TYPE_CHECKING:
    from tests.simulator.chronicle import Chronicle
    from tests.simulator.simulation import Simulation
    from tests.simulator.world import Company

# The last digit of the seeds that do this.
SEEDS = (8,)
_MOVES = ("usePart", "transferStock", "scrapPart")


class Reversals:
    """Movements that people find to be wrong."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self.dice = random.Random(f"reversals {seed}")
        self.simulation = simulation
        self.happens = seed % 10 in SEEDS

    async def step(self) -> None:
        if not self.happens:
            return
        choice = self.dice.random()
        company = self.simulation.ours if choice < 0.9 else self.simulation.theirs
        device = self.dice.choice(self.dice.choice(company.technicians).devices)
        if self.dice.random() < 0.1:
            await self._by_the_office(company)
        elif self.dice.random() < 0.5 and not device.revoked:
            drafts = self._take_part(company, device) or self._take_back(device) or self._tell_again(device)
            self.simulation.did(company, device, device.do(drafts, unit=False))

    def _take_part(self, company: Company, device: Device) -> list[Draft]:
        """Use a part, so that there is a movement to reverse."""
        person = next(person for person in company.technicians if device in person.devices)
        moved = stockwork(self.dice, View(device), person, device) if self.dice.random() < 0.4 else []
        return [draft for draft in moved if draft.command in _MOVES]

    def _take_back(self, device: Device) -> list[Draft]:
        """Reverse a movement that the copy shows or the outbox holds."""
        shown = [id for id, row in device.rows().items() if row[KIND] == "StockMovement"]
        queued = [deed.input["id"] for deed in device.pending() if deed.command in _MOVES]
        ids = sorted(shown) + queued
        if not ids or self.dice.random() < 0.3:
            return []
        id = self.dice.choice(ids)
        return [Draft("reverseStockMovement", {"id": device.new_id(), "movementId": id}, id)]

    def _tell_again(self, device: Device) -> list[Draft]:
        """Send the same movement by another operation, as from a recovered outbox."""
        known = [deed for deed in [*device.recent(), *device.pending()] if deed.command in _MOVES]
        if not known:
            return []
        again = self.dice.choice(known)
        self.simulation.judge.counts["movements sent twice"] += 1
        return [Draft(again.command, again.input, again.target)]

    async def _by_the_office(self, company: Company) -> None:
        office = self.simulation.offices[company.mark]
        moved = sorted(company.chronicle.rows["StockMovement"])
        if moved:
            said = await office.do("reverseStockMovement", movementId=self.dice.choice(moved))
            self.simulation.judge.read()
            self.simulation.note(f"office: {said}")


def is_rightly_refused(chronicle: Chronicle, deed: Deed) -> bool:
    """Return whether a reversal must be refused: a technician reverses their own movements, once."""
    wrong = chronicle.rows["StockMovement"].get(deed.input["movementId"])
    if wrong is None:
        return True
    others = [one for one in chronicle.rows["StockMovement"].values() if one["reversesId"] == wrong["id"]]
    derived = wrong["countId"] is not None or wrong["reversesId"] is not None
    return wrong["accountId"] != deed.account or derived or bool(others)


def is_taken_back(chronicle: Chronicle, deed: Deed) -> bool:
    """Return whether its device has already reversed the movement."""
    wrong = deed.input.get("movementId")
    movements = chronicle.rows["StockMovement"].values()
    back = (one["id"] for one in movements if wrong is not None and one["reversesId"] == wrong)
    return any(entry.device == deed.device for id in back for entry in chronicle.of_record[id])


def check_reversals(movements: dict[str, Document]) -> int:
    """Check that each reversal undoes one existing movement entirely and alone; return their number."""
    reversals = [row for row in movements.values() if row["reversesId"] is not None]
    wrong = [row["reversesId"] for row in reversals]
    require(len(wrong) == len({*wrong}), "a movement is reversed once", wrong)
    for row in reversals:
        origin = movements[row["reversesId"]]
        same = all(row[name] == origin[name] for name in ("partId", "quantity", "unit", "reason"))
        back = (row["fromLocationId"], row["toLocationId"]) == (
            origin["toLocationId"],
            origin["fromLocationId"],
        )
        require(same and back, "a reversal is the opposite of its movement", f"{row} of {origin}")
        derived = origin["reversesId"] is not None or origin["countId"] is not None
        require(not derived, "derived movements are not reversed", f"{row} of {origin}")
    return len(reversals)
