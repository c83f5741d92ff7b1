"""What people do on a device, chosen from what it shows: the copy with their own undecided work on it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.simulator.device import KIND, Deed, Device, Document, Draft, Person
from tests.simulator.stock import stockwork

# The status that each step leads to, and the statuses from which it may be taken.
STEPS: dict[str, tuple[str, set[str]]] = {
    "acceptAppointment": ("ACCEPTED", {"DISPATCHED"}),
    "rejectAppointment": ("SCHEDULED", {"DISPATCHED"}),
    "startTravel": ("EN_ROUTE", {"DISPATCHED", "ACCEPTED"}),
    "arriveOnSite": ("ON_SITE", {"EN_ROUTE"}),
    "startWork": ("IN_PROGRESS", {"DISPATCHED", "ACCEPTED", "EN_ROUTE", "ON_SITE"}),
    "pauseWork": ("PAUSED", {"IN_PROGRESS"}),
    "resumeWork": ("IN_PROGRESS", {"PAUSED"}),
    "completeAppointment": ("COMPLETED", {"IN_PROGRESS"}),
    "cannotCompleteAppointment": ("CANNOT_COMPLETE", {"ON_SITE", "IN_PROGRESS", "PAUSED", "EN_ROUTE"}),
}
_REASONED = {"rejectAppointment", "cannotCompleteAppointment"}


class View:
    """What a device shows: the server's rows with its own undecided work on them."""

    def __init__(self, device: Device) -> None:
        self.rows = device.rows()
        self.pending = device.recent() + device.pending()

    def all(self, entity: str) -> list[Document]:
        return [row for row in self.rows.values() if row[KIND] == entity]

    def status_of(self, visit: Document) -> str | None:
        """Return the status after the undecided steps, None if they no longer follow each other."""
        status: str = visit["status"]
        for deed in self.pending:
            if deed.target == visit["id"] and deed.command in STEPS:
                to, before = STEPS[deed.command]
                if status not in before:
                    return None
                status = to
        return status

    def is_open(self, run: Document) -> bool:
        closed = {"completeChecklistRun", "dismissChecklistRun"}
        done = any(deed.command in closed and deed.target == run["id"] for deed in self.pending)
        return run["status"] in ("NEW", "IN_PROGRESS") and not done

    def is_answered(self, run: Document, key: str) -> bool:
        found = any(
            row["runId"] == run["id"] and row["itemKey"] == key for row in self.all("ChecklistAnswer")
        )
        return found or any(
            deed.command == "answerChecklistItem"
            and deed.target == run["id"]
            and deed.input["itemKey"] == key
            for deed in self.pending
        )


class Fieldwork:
    """Chooses what a technician does next. `foreign` is an id of another organisation."""

    def __init__(self, dice: random.Random, foreign: str) -> None:
        self.dice = dice
        self.foreign = foreign

    def work(self, person: Person, device: Device) -> list[Deed]:
        """Do something if there is anything to do."""
        move = self.dice.choices(self._moves, self._weights)[0]
        drafts = move(self, View(device), person, device)
        unit = len(drafts) > 1
        return device.do(drafts, unit) if drafts else []

    def any(self, rows: list[Document]) -> Document | None:
        return self.dice.choice(sorted(rows, key=lambda row: row["id"])) if rows else None

    def step(self, view: View, _person: Person, device: Device) -> list[Draft]:
        visit = self.any(view.all("Appointment"))
        status = view.status_of(visit) if visit else None
        possible = [command for command, (_, before) in STEPS.items() if status in before]
        if visit is None or not possible:
            return []
        command = self.dice.choice(possible)
        given: Document = {"appointmentId": visit["id"], "at": device.now()}
        if command in _REASONED:
            given["reason"] = "Nobody there"
        required = [
            run for run in view.all("ChecklistRun") if run["appointmentId"] == visit["id"] and run["required"]
        ]
        # An incomplete copy may lack a checklist.
        if command == "completeAppointment" and (
            not device.whole or any(view.is_open(run) for run in required)
        ):
            return []
        return [Draft(command, given, visit["id"])]

    def note(self, view: View, _person: Person, device: Device) -> list[Draft]:
        visit = self.any(view.all("Appointment") + view.all("WorkOrder"))
        if visit is None:
            return []
        key = "appointmentId" if visit[KIND] == "Appointment" else "workOrderId"
        given = {"id": device.new_id(), key: visit["id"], "text": "Key at the desk", "internal": self._coin()}
        return [Draft("addNote", given, visit["id"])]

    def time(self, view: View, person: Person, device: Device) -> list[Draft]:
        visit = self.any(view.all("Appointment"))
        if visit is None or person.technician not in view.rows:
            return []
        ends = f"2026-03-{self.dice.randint(2, 28):02}T12:00:00Z"
        given = {
            "id": device.new_id(),
            "kind": "WORK",
            "appointmentId": visit["id"],
            "startsAt": f"{ends[:10]}T08:00:00Z",
        }
        return [Draft("recordTimeEntry", given | {"endsAt": ends}, visit["id"])]

    def reading(self, view: View, _person: Person, device: Device) -> list[Draft]:
        meter = self.any(view.all("Meter"))
        if meter is None:
            return []
        given = {
            "id": device.new_id(),
            "meterId": meter["id"],
            "value": float(self.dice.randint(0, 99)),
            "takenAt": device.now(),
        }
        return [Draft("recordReading", given, meter["id"])]

    def report(self, view: View, _person: Person, device: Device) -> list[Draft]:
        site = self.any(view.all("Site"))
        if site is None or site["customerId"] not in view.rows:
            return []
        order = device.new_id()
        given = {"id": order, "customerId": site["customerId"], "siteId": site["id"], "summary": "Leak"}
        drafts = [Draft("createWorkOrder", given, site["id"])]
        if self._coin():
            drafts.append(
                Draft("addNote", {"id": device.new_id(), "workOrderId": order, "text": "Dripping"}, order)
            )
        return drafts

    def find_asset(self, view: View, _person: Person, device: Device) -> list[Draft]:
        site = self.any(view.all("Site"))
        if site is None:
            return []
        asset = device.new_id()
        meter = {"id": device.new_id(), "assetId": asset, "name": "Pressure", "unit": "bar", "kind": "GAUGE"}
        return [
            Draft("createAsset", {"id": asset, "siteId": site["id"], "name": "Pump"}, site["id"]),
            Draft("createMeter", meter, asset),
        ]

    def move_asset(self, view: View, _person: Person, _device: Device) -> list[Draft]:
        asset, site = self.any(view.all("Asset")), self.any(view.all("Site"))
        if asset is None or site is None:
            return []
        return [Draft("moveAsset", {"assetId": asset["id"], "siteId": site["id"]}, asset["id"])]

    def describe_order(self, view: View, _person: Person, _device: Device) -> list[Draft]:
        order = self.any(view.all("WorkOrder"))
        if order is None:
            return []
        field = self.dice.choice(["symptom", "cause", "resolution"])
        given = {"workOrderId": order["id"], field: f"By the technician {self.dice.randint(0, 9)}"}
        return [Draft("updateWorkOrder", given, order["id"])]

    def describe_asset(self, view: View, _person: Person, _device: Device) -> list[Draft]:
        asset = self.any(view.all("Asset"))
        if asset is None:
            return []
        given: Document = {
            "assetId": asset["id"],
            self.dice.choice(["notes", "serialNumber", "externalKey"]): f"T{self.dice.randint(0, 9)}",
        }
        return [Draft("updateAsset", given, asset["id"], binding=False)]

    def answer(self, view: View, _person: Person, device: Device) -> list[Draft]:
        run = self.any([run for run in view.all("ChecklistRun") if view.is_open(run)])
        if run is None:
            return []
        value: Document = self.dice.choice(
            [
                {"itemKey": "powered", "checked": self._coin()},
                {"itemKey": "pressure", "number": float(self.dice.randint(0, 6))},
                {"itemKey": "remarks", "text": f"Fine {self.dice.randint(0, 9)}"},
            ]
        )
        return [Draft("answerChecklistItem", {"runId": run["id"], "at": device.now(), **value}, run["id"])]

    def complete_run(self, view: View, _person: Person, device: Device) -> list[Draft]:
        runs = [
            run for run in view.all("ChecklistRun") if view.is_open(run) and view.is_answered(run, "powered")
        ]
        run = self.any(runs)
        return (
            [Draft("completeChecklistRun", {"runId": run["id"], "at": device.now()}, run["id"])]
            if run
            else []
        )

    def absence(self, view: View, person: Person, device: Device) -> list[Draft]:
        if person.technician not in view.rows:
            return []
        given = {"id": device.new_id(), "technicianId": person.technician, "startsAt": "2026-08-03T00:00:00Z"}
        return [
            Draft(
                "requestAbsence", given | {"endsAt": "2026-08-10T00:00:00Z"}, person.technician, binding=False
            )
        ]

    def details(self, view: View, person: Person, _device: Device) -> list[Draft]:
        if person.technician not in view.rows:
            return []
        given = {"technicianId": person.technician, "phone": f"T{self.dice.randint(0, 9)}"}
        return [Draft("updateOwnDetails", given, person.technician, binding=False)]

    def talk(self, view: View, _person: Person, device: Device) -> list[Draft]:
        customer = self.any(view.all("Customer"))
        if customer is None:
            return []
        given = {
            "id": device.new_id(),
            "customerId": customer["id"],
            "channel": "PHONE",
            "direction": "INBOUND",
        }
        time = "occurredAt" if device.schema == 1 else "at"
        given |= {"subject": "Late", time: device.now()}
        return [Draft("recordInteraction", given, customer["id"])]

    def stock(self, view: View, person: Person, device: Device) -> list[Draft]:
        return stockwork(self.dice, view, person, device)

    def nonsense(self, view: View, _person: Person, device: Device) -> list[Draft]:
        """Record an operation that must be refused, alone or in a unit that fails with it."""
        bad = self.dice.choice(
            [
                Draft("noSuchCommand", {}),
                Draft("cancelAppointment", {"appointmentId": device.new_id(), "reason": "Mine"}),
                Draft("addNote", {"id": device.new_id(), "workOrderId": self.foreign, "text": "Theirs"}),
                Draft("addNote", {"id": device.new_id(), "text": "About nothing"}),
            ]
        )
        bad = Draft(
            bad.command, {**bad.input, **({"at": 17} if self.dice.random() < 0.1 else {})}, "nothing", False
        )
        good = self.note(view, _person, device) if self._coin() else []
        return self.dice.sample([bad, *good], len(good) + 1)

    def _coin(self) -> bool:
        return self.dice.random() < 0.5

    _moves: tuple[Callable[..., list[Draft]], ...] = (
        step, note, time, reading, report, find_asset, move_asset, describe_order, describe_asset, answer,
        complete_run, absence, details, talk, stock, nonsense,
    )  # fmt: skip
    _weights = (30, 6, 4, 5, 5, 3, 4, 9, 7, 8, 4, 2, 4, 4, 8, 3)


def desk_work(dice: random.Random, device: Device) -> list[Deed]:
    """Record what an office account does on its own device."""
    view = View(device)
    customers = sorted(view.all("Customer"), key=lambda row: row["id"])
    contacts = sorted(view.all("Contact"), key=lambda row: row["id"])
    if not customers:
        return []
    customer: Any = dice.choice(customers)
    value = f"D{dice.randint(0, 9)}"
    drafts = [
        Draft(
            "updateCustomer",
            {"customerId": customer["id"], dice.choice(["phone", "email", "externalKey"]): value},
            customer["id"],
            False,
        ),
        Draft(
            "updateCustomer",
            {"customerId": customer["id"], "tags": [*customer["tags"][:2], value]},
            customer["id"],
            False,
        ),
        Draft(
            "createContact",
            {"id": device.new_id(), "customerId": customer["id"], "name": "Porter"},
            customer["id"],
            False,
        ),
    ]
    if contacts:
        contact = dice.choice(contacts)
        drafts.append(
            Draft("updateContact", {"contactId": contact["id"], "phone": value}, contact["id"], False)
        )
    return device.do([dice.choice(drafts)], unit=False)
