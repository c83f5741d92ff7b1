"""What the office does meanwhile, by commands and by GraphQL mutations."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from sqlalchemy.exc import DBAPIError

from tests.simulator.crashes import KINDS, POINTS, TRAPS, Bug, Died
from tests.simulator.device import Device, Document, Person
from tests.simulator.network import Network, Request
from tests.simulator.stock import move_stock
from tests.simulator.world import ITEMS, Company
from tests.support.house import wire
from tournee.catalogue import COMMANDS
from tournee.kernel.errors import Refused
from tournee.kernel.outages import Outage

CRASHES = 0.06
MUTATIONS = 0.2
RESOLUTIONS = ["ACKNOWLEDGED", "KEEP_THEIRS", "TAKE_MINE", "DISMISS"]


class Office:
    """Makes one move at a time, chosen from the organisation's present rows."""

    def __init__(self, company: Company, network: Network, dice: random.Random) -> None:
        self.company = company
        self.network = network
        self.dice = dice

    async def work(self) -> str:
        """Make one move and return its result as text for the trace."""
        move = self.dice.choices(self._moves, self._weights)[0]
        return f"{move.__name__} {await move(self) or 'nothing'}"

    # -- ways to act --------------------------------------------------------------------------------

    async def do(self, name: str, person: Person | None = None, /, **payload: Any) -> str:
        act = self._mutate if self.dice.random() < MUTATIONS else self._perform
        return await act(name, person or self.company.manager, wire(payload))

    async def _perform(self, name: str, person: Person, payload: Document) -> str:
        kernel = self.dice.choice(self.company.stage.apps).state.kernel
        command = COMMANDS[name]
        if self.dice.random() < CRASHES:
            TRAPS.arm(self.dice.choice(POINTS), self.dice.choice(KINDS))
        try:
            row = await kernel.perform(self.company.actor(person), command, command.parse(payload))
        except Refused as refusal:
            return f"{name} {refusal.code}"
        except Bug:
            return f"{name} hit a bug"
        except (Died, asyncio.CancelledError, DBAPIError, Outage):
            if TRAPS.sprung is None:
                raise
            self.network.faults[f"{TRAPS.sprung[1]} {TRAPS.sprung[0]}"] += 1
            return f"{name} crashed"
        finally:
            TRAPS.pass_on()
            TRAPS.disarm()
        return f"{name} {row.id}"

    async def _mutate(self, name: str, person: Person, payload: Document) -> str:
        kind = COMMANDS[name].input.__name__.removesuffix("Input")
        query = f"mutation($i: {kind}Input!) {{ r: {name}(input: $i) {{ __typename ... on Refusal {{ code }} }} }}"
        body = {"query": query, "variables": {"i": payload}}
        answer = await self.network.deliver(
            Request(person.name, "POST", "/graphql", self.token(person), body=body)
        )
        return f"{name} {answer.body.get('data') if answer else 'crashed'}"

    def token(self, person: Person) -> str:
        issued: str = self.company.stage.apps[0].state.tokens.issue(self.company.actor(person))
        return issued

    # -- choosing -----------------------------------------------------------------------------------

    def any(self, entity: str, **equals: Any) -> Document | None:
        rows = [
            row
            for row in self.company.chronicle.rows[entity].values()
            if all(row[name] == value for name, value in equals.items())
        ]
        return self.dice.choice(sorted(rows, key=lambda row: str(row["id"]))) if rows else None

    def technician(self) -> Person:
        return self.dice.choice(self.company.technicians)

    def hours(self) -> dict[str, Any]:
        """Return a time, mostly within the technicians' window, sometimes far outside it."""
        days = self.dice.choice([-60, -20, -3, 0, 0, 1, 1, 5, 20, 60])
        starts = self.company.clock.at + timedelta(days=days, hours=self.dice.randint(1, 5))
        return {"startsAt": starts, "endsAt": starts + timedelta(hours=1)}

    # -- moves --------------------------------------------------------------------------------------

    async def plan(self) -> str | None:
        """Create an order with a visit, mostly assigned at once."""
        site = self.any("Site")
        if site is None:
            return None
        order = str(self.company.new_id())
        said = await self.do(
            "createWorkOrder", id=order, customerId=site["customerId"], siteId=site["id"], summary="Work"
        )
        visit = str(self.company.new_id())
        said += ", " + await self.do("createAppointment", id=visit, workOrderId=order, **self.hours())
        if self.dice.random() < 0.9:
            await self.do("assignTechnician", appointmentId=visit, technicianId=self.technician().technician)
            said += ", " + await self.do("dispatchAppointment", appointmentId=visit)
        return said

    async def assign(self) -> str | None:
        visit = self.any("Appointment")
        if visit is None:
            return None
        name = self.dice.choice(
            ["assignTechnician", "reassignAppointment", "reassignAppointment", "unassignTechnician"]
        )
        return await self.do(name, appointmentId=visit["id"], technicianId=self.technician().technician)

    async def to_and_fro(self) -> str | None:
        """Reassign a visit and back at once; in between, delete a contact or move an asset of it."""
        given = self.any("Assignment", active=True)
        visit = self.company.chronicle.rows["Appointment"].get(given["appointmentId"]) if given else None
        if given is None or visit is None:
            return None
        away = {"appointmentId": visit["id"], "technicianId": self.technician().technician}
        said = await self.do("reassignAppointment", **away)
        contact = self.any("Contact", customerId=visit["customerId"])
        if contact is not None and self.dice.random() < 0.7:
            said += ", " + await self.do("deleteContact", contactId=contact["id"])
        asset, site = self.any("Asset", siteId=visit["siteId"]), self.any("Site")
        if asset is not None and site is not None and self.dice.random() < 0.7:
            said += ", " + await self.do("moveAsset", assetId=asset["id"], siteId=site["id"])
        back = {"appointmentId": visit["id"], "technicianId": given["technicianId"]}
        return f"{said}, {await self.do('reassignAppointment', **back)}"

    async def dispatch(self) -> str | None:
        visit = self.any("Appointment", status="SCHEDULED")
        return await self.do("dispatchAppointment", appointmentId=visit["id"]) if visit else None

    async def schedule(self) -> str | None:
        visit = self.any("Appointment")
        return (
            await self.do("scheduleAppointment", appointmentId=visit["id"], **self.hours()) if visit else None
        )

    async def cancel(self) -> str | None:
        visit = self.any("Appointment")
        return (
            await self.do("cancelAppointment", appointmentId=visit["id"], reason="Called off")
            if visit
            else None
        )

    async def recall(self) -> str | None:
        visit = self.any("Appointment")
        if visit is None:
            return None
        if self.dice.random() < 0.5:
            return await self.do("recallAppointment", appointmentId=visit["id"])
        return await self.do("reopenAppointment", appointmentId=visit["id"], reason="By mistake")

    async def steer_order(self) -> str | None:
        order = self.any("WorkOrder")
        if order is None:
            return None
        name = self.dice.choice(
            ["cancelWorkOrder", "holdWorkOrder", "releaseWorkOrder", "closeWorkOrder", "reopenWorkOrder"]
        )
        reason = {} if name in ("releaseWorkOrder", "closeWorkOrder") else {"reason": "So it is"}
        return await self.do(name, workOrderId=order["id"], **reason)

    async def edit_customer(self) -> str | None:
        customer = self.any("Customer")
        if customer is None:
            return None
        field = self.dice.choice(["phone", "email", "externalKey", "tags", "notes"])
        value = f"O{self.dice.randint(0, 9)}"
        changed: Any = [*customer["tags"][:2], value] if field == "tags" else value
        return await self.do("updateCustomer", customerId=customer["id"], **{field: changed})

    async def edit_order(self) -> str | None:
        order = self.any("WorkOrder")
        if order is None:
            return None
        field = self.dice.choice(["symptom", "cause", "resolution", "description"])
        return await self.do(
            "updateWorkOrder", workOrderId=order["id"], **{field: f"O{self.dice.randint(0, 9)}"}
        )

    async def edit_asset(self) -> str | None:
        asset, site = self.any("Asset"), self.any("Site")
        if asset is None or site is None:
            return None
        if self.dice.random() < 0.4:
            return await self.do("moveAsset", assetId=asset["id"], siteId=site["id"])
        field = self.dice.choice(["notes", "serialNumber", "externalKey"])
        return await self.do("updateAsset", assetId=asset["id"], **{field: f"O{self.dice.randint(0, 9)}"})

    async def contacts(self) -> str | None:
        contact, customer = self.any("Contact"), self.any("Customer")
        if contact is not None and self.dice.random() < 0.5:
            return await self.do("deleteContact", contactId=contact["id"])
        if customer is None:
            return None
        return await self.do("createContact", customerId=customer["id"], name="Reception")

    async def checklists(self) -> str | None:
        visit, run = self.any("Appointment"), self.any("ChecklistRun")
        template = self.any("ChecklistTemplate")
        choice = self.dice.random()
        if run is not None and choice < 0.3:
            return await self.do("dismissChecklistRun", runId=run["id"], reason="Not here")
        if run is not None and choice < 0.5:
            return await self.do("reopenChecklistRun", runId=run["id"], reason="Again")
        if visit is None or template is None:
            return None
        if choice < 0.6:
            version = str(self.company.new_id())
            await self.do("draftChecklistVersion", id=version, templateId=template["id"], items=ITEMS)
            return await self.do("publishChecklistVersion", versionId=version)
        return await self.do(
            "addChecklistRun", templateId=template["id"], appointmentId=visit["id"], required=choice < 0.8
        )

    async def window(self) -> str | None:
        starts = self.company.clock.at - timedelta(days=self.dice.choice([1, 14, 80]))
        ends = self.company.clock.at + timedelta(days=self.dice.choice([2, 28, 80]))
        technician = self.technician().technician
        return await self.do("moveWindow", technicianId=technician, windowFrom=starts, windowTo=ends)

    async def decide(self) -> str | None:
        conflict = self.any("Conflict", status="OPEN")
        if conflict is None:
            return None
        if conflict["kind"] == "WORK_SURRENDERED":
            name = self.dice.choice(
                ["acceptSurrenderedWork", "acceptSurrenderedWork", "dismissSurrenderedWork"]
            )
            # A push retries an operation that crashes; a mutation would only report the crash.
            TRAPS.bugs.clear()
            return await self.do(name, conflictId=conflict["id"])
        decided = {"resolution": self.dice.choice(RESOLUTIONS), "note": "Seen"}
        return await self.do("resolveConflict", conflictId=conflict["id"], **decided)

    async def staff(self) -> str | None:
        """Rarely disable, enable, or give an office role to an account for a while."""
        person = self.technician()
        technician = self.company.chronicle.rows["Technician"][str(person.technician)]
        account = self.company.chronicle.rows["Account"][person.account]
        choice = self.dice.random()
        self.company.clock.advance(timedelta(seconds=10))
        if choice < 0.4:
            status = "INACTIVE" if technician["status"] == "ACTIVE" else "ACTIVE"
            return await self.do("updateTechnician", technicianId=technician["id"], status=status)
        if choice < 0.7:
            role = "DISPATCHER" if account["role"] == "TECHNICIAN" else "TECHNICIAN"
            said = await self.do("updateAccount", accountId=account["id"], role=role)
        else:
            name = "disableAccount" if account["status"] == "ACTIVE" else "enableAccount"
            said = await self.do(name, accountId=account["id"])
        # A server caches an account's standing for some seconds.
        self.company.clock.advance(timedelta(seconds=10))
        return said

    async def absences(self) -> str | None:
        absence = self.any("Absence", status="REQUESTED")
        return await self.do("approveAbsence", absenceId=absence["id"]) if absence else None

    async def revoke(self) -> str | None:
        devices: list[Device] = [device for person in self.company.technicians for device in person.devices]
        device = self.dice.choice(devices)
        if device.revoked or self.dice.random() < 0.5:
            return None
        said = await self.do("revokeDevice", deviceId=device.id, surrender=self.dice.random() < 0.7)
        self.company.clock.advance(timedelta(seconds=10))
        return said

    async def restore(self) -> None:
        """Enable every account before the end, so that the copies can be compared."""
        for person in self.company.everybody():
            account = self.company.chronicle.rows["Account"][person.account]
            while account["status"] == "DISABLED":
                # It may crash.
                await self._perform("enableAccount", self.company.manager, {"accountId": person.account})
                self.company.chronicle.read()
                account = self.company.chronicle.rows["Account"][person.account]

    _moves: tuple[Callable[[Office], Awaitable[str | None]], ...] = (
        plan, assign, to_and_fro, dispatch, schedule, cancel, recall, steer_order, edit_customer, edit_order, edit_asset,
        contacts, checklists, window, decide, staff, absences, revoke, move_stock,
    )  # fmt: skip
    _weights = (8, 12, 5, 6, 6, 8, 4, 5, 8, 8, 8, 5, 6, 4, 4, 3, 1, 3, 6)
