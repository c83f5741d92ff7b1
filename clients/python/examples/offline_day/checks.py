"""Check on the server what must be true in the evening."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from examples.offline_day.field import ANSWERS, ONE, SUMMARY, TRAVEL_MINUTES, WORK_MINUTES, Day
from examples.offline_day.office import PASSWORD, Office, Row
from tournee_client import Device

_CHANGE = "seq entity recordId command actorId deviceId operationId occurredAt recordedAt fields before after"
_CONFLICT = (
    "id kind status role command occurredAt recordId mine theirs record { ... on Appointment { summary } }"
)
_VISIT = """
query Visit($id: ID!) { appointment(id: $id) {
  status summary travelMinutes workMinutes customer { phone }
  events { nodes { toStatus } } checklistRuns { nodes { status answers { nodes { itemKey } } } }
} }
"""


class Checks:
    """Query the server as the dispatcher and collect the results."""

    def __init__(self, dispatcher: Office, people: Mapping[str, str]) -> None:
        self._dispatcher = dispatcher
        self._people = people
        self.results: list[bool] = []

    def expect(self, what: str, found: object, wanted: object) -> None:
        """Compare the two values, and print and keep the result."""
        passed = found == wanted
        self.results.append(passed)
        print(f"ok     {what}" if passed else f"FAILED {what}: {found!r} instead of {wanted!r}")

    async def run(self, day: Day, phone: str) -> None:
        """Check that everything arrived once and that the dispatcher's changes hold too."""
        print("\nWhat the server says:")
        self.expect("the outbox is empty", len(day.device.pending()), 0)
        refused = [rejection.outcome.code for rejection in day.device.rejections()]
        self.expect("nothing was refused", refused, [])
        await self._visit(day, phone)
        await self._once(day)
        shown = day.device.get("Appointment", day.plan.visit) or {}
        self.expect(
            "the device shows the same",
            (shown.get("status"), shown.get("summary"), shown.get("workMinutes")),
            ("COMPLETED", SUMMARY, WORK_MINUTES),
        )
        customer = day.device.get("Customer", day.plan.customer_id) or {}
        self.expect("the device has the new phone number", customer.get("phone"), phone)

    async def _visit(self, day: Day, phone: str) -> None:
        visit = (await self._dispatcher.ask(_VISIT, id=day.plan.visit))["appointment"]
        self.expect("the visit is completed", visit["status"], "COMPLETED")
        minutes = (visit["travelMinutes"], visit["workMinutes"])
        self.expect("its minutes follow from what was done", minutes, (TRAVEL_MINUTES, WORK_MINUTES))
        self.expect("the summary is the dispatcher's", visit["summary"], SUMMARY)
        self.expect("the phone number is the dispatcher's", visit["customer"]["phone"], phone)
        steps = Counter(event["toStatus"] for event in visit["events"]["nodes"])
        for status in ("EN_ROUTE", "ON_SITE", "IN_PROGRESS", "COMPLETED"):
            self.expect(f"the visit became {status} once", steps[status], 1)
        runs = visit["checklistRuns"]["nodes"]
        self.expect("the checklist is completed", [run["status"] for run in runs], ["COMPLETED"])
        answered = sorted(answer["itemKey"] for run in runs for answer in run["answers"]["nodes"])
        self.expect("each item is answered once", answered, sorted(key for key, _ in ANSWERS))

    async def _once(self, day: Day) -> None:
        of_visit = {"appointmentId": {"eq": day.plan.visit}}
        readings = await self._dispatcher.rows("readings", "id value", of="Reading", filter=of_visit)
        value = day.plan.last_reading + 1
        self.expect("the reading is there once", readings, [{"id": day.reading, "value": value}])
        numbered = {"serialNumber": {"eq": f"DEMO-{day.asset}"}}
        assets = await self._dispatcher.rows("assets", "id siteId", of="Asset", filter=numbered)
        self.expect("the new asset is there once", assets, [{"id": day.asset, "siteId": day.plan.site_id}])
        moved = await self._dispatcher.rows(
            "stockMovements", "id quantity reason", of="StockMovement", filter=of_visit
        )
        wanted = {"id": day.used, "quantity": ONE, "reason": "USED"}
        self.expect("the part is used once", moved, [wanted])
        level = day.device.get("StockLevel", day.level) or {}
        self.expect("the van holds one less", level.get("quantity"), day.left)
        changes = await self._changes({"operationId": {"in": list(day.done)}})
        self.expect("every operation is in the log", {c["operationId"] for c in changes}, set(day.done))
        twice = Counter((change["operationId"], change["recordId"]) for change in changes)
        self.expect("none of them took effect twice", max(twice.values(), default=0), 1)

    async def compare(self, device: Device, fresh: Device, email: str) -> None:
        """Check that the device has the same rows as a newly enrolled one."""
        await fresh.sign_in(email, PASSWORD)
        await fresh.pull()
        await device.pull()
        ours, theirs = _copy(device), _copy(fresh)
        different = sorted(
            f"{entity} {id}"
            for entity, id in ours.keys() | theirs.keys()
            if ours.get((entity, id)) != theirs.get((entity, id))
        )
        self.expect(f"a new device gets the same {len(theirs)} rows", different, [])
        presumed = [key for key, row in ours.items() if device.get(*key) != row]
        self.expect("the device shows exactly the server's rows", presumed, [])

    async def tell_conflict(self, day: Day) -> None:
        """Print the device's conflicts and check that there is one."""
        print("\nWhat waits for the dispatcher:")
        of_device = {"deviceId": {"eq": day.device.store.device}}
        conflicts = await self._dispatcher.rows("conflicts", _CONFLICT, of="Conflict", filter=of_device)
        for conflict in conflicts:
            print(f"  {conflict['kind']} {conflict['status']}, for the {conflict['role']}")
            print(f"    visit   {(conflict['record'] or {}).get('summary')} ({conflict['recordId']})")
            print(f"    done    {conflict['mine']}\n    planned {conflict['theirs']}")
        found = [(conflict["kind"], conflict["status"], conflict["recordId"]) for conflict in conflicts]
        wanted = [("VISIT_ON_REASSIGNED_APPOINTMENT", "OPEN", day.plan.other_visit)]
        self.expect("one conflict is open, about the reassigned visit", found, wanted)

    async def tell_log(self, day: Day, phone: str) -> None:
        """Print and check the log: who changed what, and when."""
        print("\nThe log of both visits, their assignments and the customer, since the planning:")
        log = await self._log(day)
        for change in log:
            print(f"  {self._line(change)}")
        device = day.device.store.device
        office, field = "dispatcher@demo.example", "technician@demo.example"
        self._expect_in_log(log, "updateCustomer", {"phone": phone}, office, None)
        self._expect_in_log(log, "updateAppointment", {"summary": SUMMARY}, office, None)
        colleague = {"technicianId": day.plan.colleague_id}
        self._expect_in_log(log, "reassignAppointment", colleague, office, None)
        shown = day.device.get("Appointment", day.plan.visit) or {}
        ended = {"status": "COMPLETED", "actualEnd": shown.get("actualEnd")}
        self._expect_in_log(log, "completeAppointment", ended, field, device)
        times = {change["occurredAt"] for change in log if change["recordId"] == day.plan.visit}
        self.expect(
            "the log has the visit's end by the device's clock", shown.get("actualEnd") in times, True
        )

    async def _log(self, day: Day) -> list[Row]:
        visits = [day.plan.visit, day.plan.other_visit]
        of_visits = {"appointmentId": {"in": visits}}
        sent = await self._dispatcher.rows("assignments", "id", of="Assignment", filter=of_visits)
        planned = (await self._changes({"recordId": {"eq": day.plan.visit}}))[0]["seq"]
        ids = [*visits, day.plan.customer_id, *(row["id"] for row in sent)]
        return await self._changes({"recordId": {"in": ids}, "seq": {"gte": planned}})

    def _expect_in_log(self, log: list[Row], command: str, values: Row, who: str, device: str | None) -> None:
        found = [
            (self._people.get(change["actorId"]), change["deviceId"])
            for change in log
            if change["command"] == command and values.items() <= (change["after"] or {}).items()
        ]
        self.expect(f"the log has {command} by {who}", found[:1], [(who, device)])

    def _line(self, change: Row) -> str:
        who = self._people.get(change["actorId"], change["actorId"])
        how = "device" if change["deviceId"] else "online"
        times = f"{change['occurredAt'][11:19]} (received {change['recordedAt'][11:19]})"
        what = f"{change['entity']} {change['recordId'][-4:]} {_what(change)}"
        return f"{change['seq']:>6}  {times}  {who:24} {how}  {change['command']:20} {what}"

    async def _changes(self, wanted: Row) -> list[Row]:
        in_order: Row = {"orderBy": [{"seq": "ASC"}], "first": 500}
        return await self._dispatcher.rows("changes", _CHANGE, of="Change", filter=wanted, **in_order)


def _what(change: Row) -> str:
    before = change["before"]
    if before is None:
        return "is new"
    after = change["after"] or {}
    return ", ".join(f"{name}: {before.get(name)} → {after.get(name)}" for name in change["fields"] or ())


def _copy(device: Device) -> dict[tuple[str, str], Row | None]:
    keys = device.store.database.execute("SELECT entity, id FROM row").fetchall()
    return {(entity, id): device.store.server_row(entity, id) for entity, id in keys}
