"""Conflicts of every kind, made as in practice: the office changes something while a device is offline."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from tests.support.device import TestDevice
from tests.support.field import checklist
from tests.support.world import Technician, World, at
from tournee.kernel.conflict import Conflict, ConflictKind


class Clashes:
    """A technician with a device, assigned to an appointment."""

    device: TestDevice
    visit: Any
    order: Any

    def __init__(self, world: World) -> None:
        self.world = world
        self.house = world.house

    async def begin(self) -> Clashes:
        actor = await self.house.account("TECHNICIAN")
        row = await self.house.run("createTechnician", name="Demo Technician", accountId=actor.id)
        self.technician = Technician(row.id, actor)
        self.asset = await self.house.run("createAsset", name="Demo boiler", siteId=self.world.site.id)
        self.contact = await self.house.run(
            "createContact", customerId=self.world.customer.id, name="Demo Porter"
        )
        self.order = await self.world.order(assetId=self.asset.id)
        self.visit = await self.world.visit(self.technician, order=self.order)
        self.device = TestDevice(self.house, actor=actor)
        await self.device.pull()
        return self

    async def of(self, kind: ConflictKind) -> Conflict:
        """Make an open conflict of this kind, and let the device pull."""
        await getattr(self, f"_{kind.lower()}")()
        found = [row for row in await self.world.conflicts() if row.kind is kind]
        await self.device.pull()
        return found[-1]

    async def office(self, name: str, _as: str = "DISPATCHER", /, **payload: Any) -> Any:
        return await self.house.run(name, _as, **payload)

    async def _field_changed_by_both(self) -> None:
        await self.office("updateWorkOrder", workOrderId=self.order.id, symptom="theirs", cause="theirs")
        await self.device.do("updateWorkOrder", workOrderId=self.order.id, symptom="mine", cause="mine")

    async def _state_changed_by_both(self) -> None:
        await self.office("takeAssetOutOfService", assetId=self.asset.id)
        await self.device.do("installAsset", assetId=self.asset.id)

    async def _record_deleted_meanwhile(self) -> None:
        await self.office("deleteContact", contactId=self.contact.id)
        await self.device.do(
            "recordInteraction",
            customerId=self.world.customer.id,
            contactId=self.contact.id,
            channel="VISIT",
            direction="INBOUND",
            subject="Demo",
            at=at(0),
        )

    async def _visit_on_canceled_appointment(self) -> None:
        await self.office("cancelAppointment", appointmentId=self.visit.id, reason="Demo")
        await self.device.do("startTravel", appointmentId=self.visit.id, at=at(0))

    async def _visit_on_reassigned_appointment(self) -> None:
        self.other = await self.world.technician()
        await self.office("reassignAppointment", appointmentId=self.visit.id, technicianId=self.other.id)
        await self.device.do("startTravel", appointmentId=self.visit.id, at=at(0))

    async def _visit_out_of_step(self) -> None:
        await self.office("recallAppointment", appointmentId=self.visit.id)
        await self.device.do("startTravel", appointmentId=self.visit.id, at=at(0))

    async def checklist(self) -> Any:
        """Add a checklist to the visit and let the device pull it."""
        _, version = await checklist(self.house)
        run = await self.office("addChecklistRun", versionId=version, appointmentId=self.visit.id)
        await self.device.pull()
        return run

    async def _operation_rejected(self) -> None:
        """Push work on an invisible site, then make the site visible."""
        site = await self.office(
            "createSite", id=uuid4(), customerId=self.world.customer.id, name="Demo Pier"
        )
        await self.device.do("createAsset", siteId=site.id, name="Demo pump found")
        order = await self.world.order(siteId=site.id)
        await self.world.visit(self.technician, order=order)

    async def _record_on_closed_parent(self) -> None:
        run = await self.checklist()
        await self.office("answerChecklistItem", runId=run.id, itemKey="on", checked=False, at=at(0))
        await self.office("completeChecklistRun", runId=run.id, at=at(1))
        await self.device.do("answerChecklistItem", runId=run.id, itemKey="remarks", text="Demo", at=at(2))

    async def resolve(
        self, conflict: Conflict, resolution: str, _as: Any = "DISPATCHER", /, **more: Any
    ) -> Any:
        return await self.house.run(
            "resolveConflict", _as, conflictId=conflict.id, resolution=resolution, **more
        )

    async def read(self, row: Any) -> Any:
        return await self.world.read(type(row), row.id)

    def on_device(self, id: UUID) -> dict[str, Any]:
        return self.device.rows[id]
