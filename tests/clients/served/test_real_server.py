"""The device against the real server in one process, without test doubles."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from sqlalchemy import select
from starlette.applications import Starlette

from tests.clients.served.field import PASSWORD, Field, Office, Open, copy, step
from tests.support.backups import SavedRows, put_back, saved
from tests.support.house import House
from tests.support.serving import listening
from tests.support.world import at
from tournee.app import create_app
from tournee.kernel.log import Change
from tournee.settings import Settings
from tournee.sync.devices.restored import begin_anew
from tournee.sync.models import ParkedOperation
from tournee_client import Device, Offline, Revoked, SignInRefused, Store, new_id
from tournee_client import push as pushing
from tournee_client.testing import Fault, FlakyTransport, StreamingASGITransport

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

ODDS = {Fault.DROP: 0.1, Fault.LOSE: 0.15, Fault.REPEAT: 0.1, Fault.CUT: 0.1, Fault.BUSY: 0.05}


async def agree(device: Device, open_device: Open, email: str, directory: Path) -> None:
    """Check that the device has the same rows as a new one, and shows nothing else."""
    other = Store(directory / f"{uuid4()}.db")
    fresh = open_device(other)
    await fresh.sign_in(email, PASSWORD)
    await fresh.pull()
    await device.pull()
    assert copy(device) == copy(fresh) != {}
    assert {key: device.get(*key) for key in copy(device)} == copy(device)
    other.close()


async def test_an_offline_visit_arrives_once_despite_a_lost_answer(
    device: Device,
    network: FlakyTransport,
    field: Field,
    office: Office,
    ask: Callable[..., Awaitable[Any]],
    open_device: Open,
    tmp_path: Path,
) -> None:
    visit = await field.visit()
    await device.pull()
    network.plan = repeat(Fault.DROP)
    done = [
        await step(device, command, visit, minutes)
        for command, minutes in (
            ("startTravel", 0),
            ("arriveOnSite", 20),
            ("startWork", 20),
            ("completeAppointment", 75),
        )
    ]
    with pytest.raises(Offline):
        await device.push()
    await office("updateAppointment", appointmentId=visit, summary="What the office wrote")
    network.plan = iter([Fault.LOSE])
    with pytest.raises(Offline):
        await device.push()
    assert [operation.id for operation in device.pending()] == done
    assert [outcome.status for outcome in await device.push()] == ["duplicate"] * 4
    assert device.pending() == device.rejections() == []
    await agree(device, open_device, field.email, tmp_path)
    asked = "query Q($id: ID!) { appointment(id: $id) { summary status workMinutes events { totalCount } } }"
    assert (await ask(asked, id=visit))["appointment"] == {
        "summary": "What the office wrote",
        "status": "COMPLETED",
        "workMinutes": 55,
        "events": {"totalCount": 5},
    }
    shown = device.get("Appointment", visit) or {}
    assert (shown["summary"], shown["status"], shown["workMinutes"]) == (
        "What the office wrote",
        "COMPLETED",
        55,
    )


async def test_a_conflict_decided_in_the_office_reaches_the_device(
    device: Device, field: Field, office: Office, ask: Callable[..., Awaitable[Any]]
) -> None:
    visit = await field.visit()
    await device.pull()
    order = (device.get("Appointment", visit) or {})["workOrderId"]
    await office("updateWorkOrder", workOrderId=order, symptom="Demo: as the customer told it")
    await device.do("updateWorkOrder", {"workOrderId": order, "symptom": "Demo: as it was found"})
    (outcome,) = await device.push()
    assert (outcome.status, (device.get("WorkOrder", order) or {})["symptom"]) == (
        "merged", "Demo: as it was found"
    )  # fmt: skip
    asked = "query Q($id: ID!) { conflict(id: $id) { availableResolutions { resolution allowed } } }"
    offered = (await ask(asked, id=outcome.conflict))["conflict"]["availableResolutions"]
    assert {"resolution": "MERGE_FIELDS", "allowed": True} in offered
    await device.pull()
    assert (device.get("Conflict", outcome.conflict) or {})["status"] == "OPEN"
    merged = {"name": "symptom", "take": "OTHER", "value": "Demo: both"}
    await office(
        "resolveConflict",
        conflictId=outcome.conflict,
        resolution="MERGE_FIELDS",
        fields=[merged],
        note="Demo: asked the customer.",
    )
    await device.pull()
    told = device.get("Conflict", outcome.conflict) or {}
    assert (told["status"], told["resolution"], told["note"]) == (
        "RESOLVED", "MERGE_FIELDS", "Demo: asked the customer."
    )  # fmt: skip
    assert told["decided"] == {"symptom": "Demo: both"}
    assert told["resolvedById"] is not None
    assert (device.get("WorkOrder", order) or {})["symptom"] == "Demo: both"


async def test_the_stream_sends_office_changes_and_resumes_where_it_was(
    device: Device, field: Field, office: Office
) -> None:
    visit = await field.visit()
    await device.pull()

    async with aclosing(device.stream()) as heard:
        await office("updateAppointment", appointmentId=visit, summary="First")
        changes = await anext(heard)
    assert [(change.entity, (change.record or {})["summary"]) for change in changes] == [
        ("Appointment", "First")
    ]
    await office("updateCustomer", customerId=field.world.customer.id, phone="+1 555 0100")
    async with aclosing(device.stream()) as heard:
        again = await anext(heard)
    assert [(change.entity, (change.record or {})["phone"]) for change in again] == [
        ("Customer", "+1 555 0100")
    ]
    assert (device.get("Appointment", visit) or {})["summary"] == "First"
    assert await device.pull() == []


@pytest.mark.parametrize("exchange", ["push", "pull"])
async def test_a_revoked_device_learns_of_it_at_its_next_call(
    exchange: str, device: Device, store: Store, field: Field, office: Office
) -> None:
    visit = await field.visit()
    await device.pull()
    await step(device, "startTravel", visit, 0)
    await office("revokeDevice", deviceId=store.device)
    with pytest.raises(Revoked):
        await getattr(device, exchange)()
    device.wipe()
    assert copy(device) == {}
    assert device.pending() == []


async def test_a_device_revoked_while_asleep_learns_of_it_at_renewal(
    device: Device, store: Store, field: Field, office: Office, open_device: Open
) -> None:
    await field.visit()
    await device.pull()
    await office("revokeDevice", deviceId=store.device)
    started_again = open_device(store)  # it has no access token, so it renews first
    with pytest.raises(Revoked):
        await started_again.pull()


async def test_a_device_revoked_while_listening_learns_of_it(
    device: Device, store: Store, field: Field, office: Office
) -> None:
    visit = await field.visit()
    async with aclosing(device.stream()) as heard:
        assert any(change.id == visit for change in await anext(heard))
        await office("revokeDevice", deviceId=store.device)
        with pytest.raises(Revoked):
            [changes async for changes in heard]


async def test_an_expired_token_is_renewed_during_a_call(
    app: Starlette,
    open_device: Open,
    store: Store,
    network: FlakyTransport,
    field: Field,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens = app.state.tokens
    device = open_device(store)
    with monkeypatch.context() as patched:
        patched.setattr(tokens, "settings", tokens.settings.model_copy(update={"access_token_seconds": -60}))
        await device.sign_in(field.email, PASSWORD)
    visit = await field.visit()
    network.history.clear()
    assert any(change.id == visit for change in await device.pull())
    assert [path for _, _, path in network.history] == ["/sync/pull", "/auth/token", "/sync/pull"]


async def test_a_stream_continues_after_its_token_expires(
    app: Starlette,
    device: Device,
    network: FlakyTransport,
    field: Field,
    office: Office,
    open_device: Open,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    visit = await field.visit()
    await device.pull()
    tokens = app.state.tokens
    started_again = open_device(store)
    with monkeypatch.context() as patched:
        patched.setattr(tokens, "settings", tokens.settings.model_copy(update={"access_token_seconds": 1}))
        await started_again.pull()
    network.history.clear()
    async with aclosing(started_again.stream()) as heard:
        for summary in ("First", "Second"):
            await office("updateAppointment", appointmentId=visit, summary=summary)
            [change] = await anext(heard)
            assert (change.record or {})["summary"] == summary
            await asyncio.sleep(1.2)
    renewals = [path for _, _, path in network.history if path == "/auth/token"]
    assert len(renewals) == 1


async def test_a_lost_answer_to_a_renewal_does_not_end_the_session(
    device: Device, open_device: Open, store: Store, network: FlakyTransport
) -> None:
    started_again = open_device(store)
    network.plan = iter([Fault.LOSE])
    with pytest.raises(Offline):
        await started_again.pull()
    await started_again.pull()


async def test_a_wrong_password_is_refused(open_device: Open, store: Store, field: Field) -> None:
    with pytest.raises(SignInRefused):
        await open_device(store).sign_in(field.email, "another password")


async def test_a_person_in_two_organisations_chooses_once(
    open_device: Open, store: Store, field: Field, house: House
) -> None:
    other = await House(house.database).found()
    await other.account("MANAGER", email=field.email, password=PASSWORD)
    device = open_device(store)
    with pytest.raises(SignInRefused) as refused:
        await device.sign_in(field.email, PASSWORD)
    assert refused.value.code == "ORGANISATION_NEEDED"
    ids = {one["id"] for one in refused.value.organisations}
    assert ids == {str(house.organisation_id), str(other.organisation_id)}
    await device.sign_in(field.email, PASSWORD, house.organisation_id)
    device.sign_out()
    await device.sign_in(field.email, PASSWORD)
    await device.pull()
    assert store.database.get("account").startswith(str(house.organisation_id))


IN_THE_FIELD = ("note", "asset", "travel")
ACTIONS = (*IN_THE_FIELD, "note", "edit", "phone", "visit", "reassign", *["exchange"] * 3)


@dataclass
class Chaos:
    """A device, an office and a network that act at random."""

    dice: random.Random
    device: Device
    field: Field
    office: Office
    colleague: UUID
    visits: list[str]
    done: list[str]
    assets: dict[str, str]

    async def act(self) -> None:
        """Take a random action of the technician, the office or the network."""
        seen = [row["id"] for row in self.device.all("Appointment")]
        action = self.dice.choice(ACTIONS)
        if action in IN_THE_FIELD:
            if seen:
                self.done.append(await self.work(action, self.dice.choice(seen)))
        elif action == "exchange":
            await self.exchange(self.dice.choice(("push", "pull", "sync")))
        else:
            await self.plan(action, self.dice.choice(self.visits))

    async def work(self, action: str, visit: str) -> str:
        if action == "travel":
            return await step(self.device, "startTravel", visit, 0)
        if action == "note":
            note = {"id": new_id(), "appointmentId": visit, "text": "Demo", "at": at(0)}
            return await self.device.do("addNote", note)
        id = new_id()
        found = {"id": id, "name": "Demo pump", "siteId": self.field.world.site.id}
        self.assets[id] = await self.device.do("createAsset", found)
        return self.assets[id]

    async def plan(self, action: str, visit: str) -> None:
        match action:
            case "edit":
                words = {"summary": f"Demo {self.dice.random()}"}
                await self.office("updateAppointment", appointmentId=visit, **words)
            case "phone":
                phone = f"+1 555 {self.dice.randint(0, 9999):04}"
                await self.office("updateCustomer", customerId=self.field.world.customer.id, phone=phone)
            case "reassign":
                to = {"appointmentId": visit, "technicianId": self.colleague}
                await self.office("reassignAppointment", refusable=True, **to)
            case "visit":
                self.visits.append(await self.field.visit())

    async def exchange(self, name: str) -> None:
        try:
            await getattr(self.device, name)()
        except Offline:
            return


_DEPARTURES = "SELECT id FROM outcome WHERE command = 'startTravel'"


@pytest.mark.parametrize("seed", range(4))
async def test_under_random_faults_each_operation_applies_once_and_both_copies_agree(
    seed: int,
    device: Device,
    network: FlakyTransport,
    field: Field,
    office: Office,
    ask: Callable[..., Awaitable[Any]],
    open_device: Open,
    tmp_path: Path,
) -> None:
    dice = random.Random(seed)
    colleague = await field.world.house.run("createTechnician", name="Demo Colleague")
    visits = [await field.visit() for _ in range(3)]
    chaos = Chaos(dice, device, field, office, colleague.id, visits, [], {})
    await device.pull()
    network.plan = FlakyTransport.seeded(network.inner, seed, ODDS).plan
    for _ in range(40):
        await chaos.act()
    network.plan = iter(())
    await device.sync()
    assert device.pending() == []
    outcomes = {id: device.outcome(id) for id in chaos.done}
    stood = {id for id, outcome in outcomes.items() if outcome is not None and not outcome.refused}
    asked = """query Q($of: IDFilter) { changes(first: 500, filter: {operationId: $of}) {
      nodes { operationId id } } }"""
    changes = (await ask(asked, of={"in": chaos.done}))["changes"]["nodes"]
    written = {change["operationId"] for change in changes}
    # A second departure for one visit is the same fact: it is applied without a change.
    taps = {id for (id,) in device.store.database.execute(_DEPARTURES)}
    assert written <= stood <= written | taps
    assert written != set()
    assert max(Counter((change["operationId"], change["id"]) for change in changes).values()) == 1
    listed = "query Q { assets(first: 500) { nodes { id } } }"
    assets = [asset["id"] for asset in (await ask(listed))["assets"]["nodes"]]
    assert sorted(assets) == sorted(id for id, operation in chaos.assets.items() if operation in stood)
    # A departure for a visit that has moved on makes no sense; everything else did happen.
    refused = {rejection.operation.command for rejection in device.rejections()}
    assert refused <= {"startTravel"}
    await agree(device, open_device, field.email, tmp_path)


async def test_missing_numbers_are_named_and_later_operations_apply(device: Device, field: Field):
    visit = await field.visit()
    await device.sync()
    ids = []
    for turn in range(6):
        ids.append(await device.do("addNote", {"appointmentId": visit, "text": f"Demo {turn}"}))
        if turn == 0:
            await device.sync()
    for lost in (ids[1], ids[2], ids[4]):
        device.store.database.execute("DELETE FROM outbox WHERE id = ?", (lost,))
    await device.sync()
    assert device.pending() == []
    assert [device.outcome(id) is not None for id in ids] == [True, False, False, True, False, True]
    await device.do("addNote", {"appointmentId": visit, "text": "Demo 7"})
    assert [outcome.status for outcome in (await device.sync()).outcomes] == ["applied"]


async def test_a_gap_left_by_a_closed_app_is_named_too(
    device: Device, field: Field, open_device: Open, store: Store
):
    visit = await field.visit()
    await device.sync()
    for turn in range(3):
        lost = await device.do("addNote", {"appointmentId": visit, "text": f"Demo {turn}"})
        if turn == 0:
            await device.sync()
        if turn == 1:
            device.store.database.execute("DELETE FROM outbox WHERE id = ?", (lost,))
    # An older app asked no further.
    device.store.database.execute("UPDATE outbox SET state = 'parked'")
    again = open_device(store)
    await again.sync()
    assert again.pending() == []


@asynccontextmanager
async def restored(backup: SavedRows, house: House, directory: Path) -> AsyncIterator[StreamingASGITransport]:
    """Yield a server started on the backup."""
    await put_back(backup, house)
    await begin_anew(house.database)
    server = create_app(Settings(database_url=house.database.url, directory=directory))
    async with server.router.lifespan_context(server):
        yield StreamingASGITransport(server)


async def test_work_missing_from_a_restored_backup_is_applied_again_in_order(
    device: Device,
    network: FlakyTransport,
    field: Field,
    house: House,
    database_url: str,
    open_device: Open,
    tmp_path: Path,
) -> None:
    visit, other = await field.visit(), await field.visit()
    await step(device, "startTravel", other, 0)
    await device.sync()
    backup = saved(house)
    steps = (("startTravel", 0), ("arriveOnSite", 20), ("startWork", 20), ("completeAppointment", 75))
    done = [await step(device, command, visit, minutes) for command, minutes in steps]
    await device.sync()
    assert (device.store.server_row("Appointment", visit) or {})["status"] == "COMPLETED"
    async with restored(backup, house, tmp_path) as network.inner:
        new = await step(device, "arriveOnSite", other, 90)
        outcomes = (await device.sync()).outcomes
        assert [outcome.status for outcome in outcomes] == ["duplicate"] + ["applied"] * 5
        assert [outcome.id for outcome in outcomes][1:] == [*done, new]
        shown = device.store.server_row("Appointment", visit) or {}
        assert (shown["status"], shown["workMinutes"]) == ("COMPLETED", 55)
        await agree(device, open_device, field.email, tmp_path)


@pytest.mark.parametrize("goes_on", [True, False], ids=["with new work", "with nothing new"])
async def test_work_lost_without_a_new_epoch_is_applied_again(
    device: Device, field: Field, house: House, open_device: Open, tmp_path: Path, goes_on: bool
) -> None:
    """The server keeps running while its database falls back by some seconds, as to a lagging replica."""
    visit, other = await field.visit(), await field.visit()
    first = await step(device, "startTravel", visit, 0)
    await device.sync()
    backup = saved(house)
    lost = [await step(device, *did) for did in (("arriveOnSite", visit, 20), ("startWork", visit, 25))]
    assert [outcome.status for outcome in (await device.sync()).outcomes] == ["applied"] * 2
    await put_back(backup, house)
    # Others continue, and their changes receive the lost numbers.
    for minutes in range(9):
        await house.run("updateAppointment", appointmentId=other, instructions=f"Ring {minutes} times")
    new = [await step(device, "completeAppointment", visit, 75)] if goes_on else []
    outcomes = (await device.sync()).outcomes
    decided = [outcome.id for outcome in outcomes if outcome.final]
    assert decided == [first, *lost, *new]
    assert device.pending() == []
    shown = device.store.server_row("Appointment", visit) or {}
    assert shown["status"] == ("COMPLETED" if goes_on else "IN_PROGRESS")
    for operation in (first, *lost, *new):
        assert await steps_of(house, operation) == 1
    await agree(device, open_device, field.email, tmp_path)


@pytest.mark.parametrize("goes_on", [True, False], ids=["with new work", "with nothing new"])
async def test_a_server_that_forgot_a_device_receives_all_its_work_again(
    device: Device, field: Field, house: House, open_device: Open, tmp_path: Path, goes_on: bool
) -> None:
    """The server lost all of the device's work, so it would accept any number as the first."""
    visit = await field.visit()
    await device.sync()
    backup = saved(house)
    lost = [await step(device, "startTravel", visit, 0)]
    await device.push()
    await put_back(backup, house)
    await house.run("createSkill", name="Demo lifts")
    new = [await step(device, "arriveOnSite", visit, 20)] if goes_on else []
    outcomes = (await device.sync()).outcomes
    assert [(outcome.id, outcome.status) for outcome in outcomes] == [(id, "applied") for id in (*lost, *new)]
    await agree(device, open_device, field.email, tmp_path)


async def test_a_revoked_device_surrenders_work_lost_without_a_new_epoch(
    device: Device, field: Field, house: House
) -> None:
    visit = await field.visit()
    await device.sync()
    backup = saved(house)
    lost = await step(device, "startTravel", visit, 0)
    await device.push()
    await put_back(backup, house)
    await house.run("createSkill", name="Demo lifts")
    new = await step(device, "arriveOnSite", visit, 20)
    await house.run("revokeDevice", deviceId=device.store.device, surrender=True)
    with pytest.raises(Revoked):
        await device.sync()
    assert await surrendered(house) == {UUID(lost), UUID(new)}


async def surrendered(house: House) -> set[UUID]:
    """Return the surrendered work that waits for a decision."""
    async with house.reading() as session:
        own = ParkedOperation.organisation_id == house.organisation_id
        return set(await session.scalars(select(ParkedOperation.operation_id).where(own)))


async def test_work_that_a_restored_backup_has_is_resent_once_across_several_requests(
    device: Device, field: Field, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has all the work; the device must not conclude that it has none."""
    monkeypatch.setattr(pushing, "BATCH", 2)
    visit = await field.visit()
    await device.sync()
    done = [await device.do("addNote", {"appointmentId": visit, "text": f"Demo {turn}"}) for turn in range(5)]
    await device.sync()
    await begin_anew(house.database)
    outcomes = (await device.sync()).outcomes
    assert [(outcome.id, outcome.status) for outcome in outcomes] == [(id, "duplicate") for id in done]
    assert device.pending() == []


async def steps_of(house: House, operation: str) -> int:
    """Return how many steps of a visit the log has from an operation."""
    async with house.reading() as session:
        own = (Change.organisation_id == house.organisation_id, Change.operation_id == UUID(operation))
        steps = select(Change.seq).where(*own, Change.entity == "AppointmentEvent")
        return len(list(await session.scalars(steps)))


async def test_an_edit_based_on_lost_history_still_conflicts_with_later_changes(
    device: Device, field: Field, house: House
) -> None:
    """Its base is a seq that the log has reused for another change."""
    visit = await field.visit()
    await device.sync()
    order = (device.get("Appointment", visit) or {})["workOrderId"]
    backup = saved(house)
    for turn in range(3):
        await house.run("updateWorkOrder", workOrderId=order, symptom=f"Lost {turn}")
    await device.pull()
    await put_back(backup, house)
    for turn in range(3):
        await house.run("updateWorkOrder", workOrderId=order, symptom=f"Office {turn}")
    await device.do("updateWorkOrder", {"workOrderId": order, "symptom": "Device"})
    (outcome,) = (await device.sync()).outcomes
    assert (outcome.status, outcome.conflict is None) == ("merged", False)


async def test_work_on_a_visit_removed_while_on_screen_is_applied(
    device: Device, field: Field, house: House
) -> None:
    """The visit is on the screen, background pulls remove it, and then the person sets out."""
    visit = await field.visit()
    await device.sync()
    gone = {"appointmentId": visit, "technicianId": field.technician_id}
    await house.run("unassignTechnician", **gone)
    for _ in range(2):
        await device.pull()
        await house.run("createSkill", name=f"Skill {uuid4()}")
    await device.pull()
    assert device.get("Appointment", visit) is None
    await step(device, "startTravel", visit, 0)
    (outcome,) = (await device.sync()).outcomes
    assert (outcome.status, outcome.code) == ("merged", None)


async def test_a_revoked_device_surrenders_work_missing_from_a_restored_backup(
    device: Device,
    network: FlakyTransport,
    field: Field,
    house: House,
    database_url: str,
    tmp_path: Path,
) -> None:
    visit = await field.visit()
    await device.sync()
    backup = saved(house)
    lost = await step(device, "startTravel", visit, 0)
    await device.sync()
    async with restored(backup, house, tmp_path) as network.inner:
        new = await step(device, "arriveOnSite", visit, 20)
        await house.run("revokeDevice", deviceId=device.store.device, surrender=True)
        with pytest.raises(Revoked):
            await device.sync()
    assert await surrendered(house) == {UUID(lost), UUID(new)}


async def test_operations_of_an_older_app_are_sent_in_its_schema(
    device: Device, field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In schema 1 the time of an interaction was `occurredAt`, which now means something else."""
    visit = await field.visit()
    await device.pull()
    customer = (device.get("Appointment", visit) or {})["customerId"]
    talk = {"customerId": customer, "channel": "VISIT", "direction": "INBOUND", "subject": "Demo"}
    monkeypatch.setattr("tournee_client.outbox.SCHEMA", 1)
    old = await device.do("recordInteraction", talk | {"id": new_id(), "occurredAt": at(-20)})
    monkeypatch.undo()
    new = await device.do("recordInteraction", talk | {"id": new_id(), "at": at(-10)})
    assert [(op.id, op.schema) for op in device.pending()] == [(old, 1), (new, 2)]
    assert [(one.id, one.status) for one in await device.push()] == [(old, "applied"), (new, "applied")]
    assert device.pending() == device.rejections() == []


@pytest.mark.parametrize("most", [pushing.BATCH_BYTES, 10**9], ids=["cut by bytes", "cut by count alone"])
async def test_an_outbox_larger_than_one_request_is_sent_over_a_real_socket(
    app: Starlette, store: Store, field: Field, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Cut by count only, the first request is over the limit, and its refusal must arrive."""
    monkeypatch.setattr(pushing, "BATCH_BYTES", most)
    visit = await field.visit()
    statuses = []

    async def note(response: httpx2.Response) -> None:
        if response.request.url.path == "/sync/push":
            statuses.append(response.status_code)

    hooks: Any = {"response": [note]}
    async with (
        listening(app) as host,
        httpx2.AsyncClient(event_hooks=hooks, timeout=120.0) as http,
        Device(f"http://{host}", store, http) as device,
    ):
        await device.sign_in(field.email, PASSWORD)
        await device.pull()
        texts = {"appointmentId": visit, "text": "ä" * 9000, "at": at(0)}
        done = [await device.do("addNote", texts | {"id": new_id()}) for _ in range(500)]
        outcomes = await device.push()
    assert [(outcome.id, outcome.status) for outcome in outcomes] == [(id, "applied") for id in done]
    assert device.pending() == device.rejections() == []
    expected = [413, 200, 200] if most == 10**9 else [200] * 5
    assert statuses == expected
