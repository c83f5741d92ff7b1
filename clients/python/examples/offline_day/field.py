"""What the technician does on the device without a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from examples.offline_day.plan import Plan
from tournee_client import Device, Effect, new_id

TRAVEL_MINUTES = 20
WORK_MINUTES = 55
ONE = 1000  # Quantities are in thousandths.
SUMMARY = "Demo: yearly service, and look at the second pump"

ANSWERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("powered", {"checked": True}),
    ("pressure", {"number": 4.2}),
    ("cleanliness", {"choices": ["Dusty"]}),
    ("remarks", {"text": "Demo: all well."}),
)


@dataclass
class Clock:
    """The device's clock. It moves only when told to, so a day takes seconds to play."""

    time: datetime

    def __call__(self) -> datetime:
        return self.time

    def pass_minutes(self, minutes: int) -> None:
        """Move the clock forward."""
        self.time += timedelta(minutes=minutes)


@dataclass
class Day:
    """The technician's day, and the operations recorded during it."""

    device: Device
    clock: Clock
    plan: Plan
    reading: str = field(default_factory=new_id)
    asset: str = field(default_factory=new_id)
    used: str = field(default_factory=new_id)
    level: str = ""
    left: int = 0
    done: dict[str, str] = field(default_factory=dict)

    async def play(self) -> None:
        """Carry out both visits from start to finish."""
        await self._go_to(self.plan.visit)
        await self._work()
        await self._go_to(self.plan.other_visit)
        self.clock.pass_minutes(30)
        await self._step("completeAppointment", self.plan.other_visit, "COMPLETED")

    async def _go_to(self, visit: str) -> None:
        self.clock.pass_minutes(5)
        await self._step("startTravel", visit, "EN_ROUTE")
        self.clock.pass_minutes(TRAVEL_MINUTES)
        await self._step("arriveOnSite", visit, "ON_SITE")
        await self._step("startWork", visit, "IN_PROGRESS")

    async def _work(self) -> None:
        run = self.plan.checklist
        for key, answer in ANSWERS:
            self.clock.pass_minutes(5)
            await self._do(
                "answerChecklistItem", {"runId": run, "itemKey": key, "at": self.clock.time} | answer
            )
        self.clock.pass_minutes(WORK_MINUTES - 5 * len(ANSWERS))
        await self._do("recordReading", self._reading())
        await self._do("createAsset", self._found())
        await self._use_part()
        async with self.device.unit():
            closed = Effect("ChecklistRun", run, {"status": "COMPLETED"})
            await self._do("completeChecklistRun", {"runId": run, "at": self.clock.time}, closed)
            await self._step("completeAppointment", self.plan.visit, "COMPLETED")

    def _reading(self) -> dict[str, Any]:
        return {
            "id": self.reading,
            "meterId": self.plan.meter_id,
            "value": self.plan.last_reading + 1,
            "takenAt": self.clock.time,
            "appointmentId": self.plan.visit,
        }

    def _found(self) -> dict[str, Any]:
        return {
            "id": self.asset,
            "name": "Demo: a second pump behind the tank",
            "siteId": self.plan.site_id,
            "serialNumber": f"DEMO-{self.asset}",
            "status": "ACTIVE",
        }

    async def _use_part(self) -> None:
        """Use one of the part that the van holds most of, and show the new level at once."""
        level = max(self.device.all("StockLevel"), key=lambda row: row["quantity"])
        self.level, self.left = level["id"], level["quantity"] - ONE
        values = {"id": self.used, "partId": level["partId"], "fromLocationId": level["locationId"]}
        on_visit = {"quantity": ONE, "appointmentId": self.plan.visit}
        await self._do(
            "usePart", values | on_visit, Effect("StockLevel", level["id"], {"quantity": self.left})
        )

    async def _step(self, command: str, visit: str, status: str) -> None:
        seen = Effect("Appointment", visit, {"status": status})
        await self._do(command, {"appointmentId": visit, "at": self.clock.time}, seen)

    async def _do(self, command: str, values: Mapping[str, Any], seen: Effect | None = None) -> None:
        operation = await self.device.do(command, values, effects=None if seen is None else [seen])
        self.done[operation] = command
        print(f"  {self.clock.time:%H:%M}  {command}")
