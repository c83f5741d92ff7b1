"""Two-step removal keeps the unpushed edits of a client that pulls before it pushes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx2
import orjson
import pytest
import pytest_asyncio

from tests.support.house import House, wire
from tests.support.world import Technician, World, at
from tournee.kernel.actor import Actor
from tournee.kernel.entity import new_id, now
from tournee.work.models import Appointment

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")


class PullFirst:
    """Pulls, then pushes. A removed row loses its edits, as in WatermelonDB's synchronize()."""

    def __init__(
        self, client: httpx2.AsyncClient, headers: dict[str, str], actor: Actor, *, two_step: bool = True
    ) -> None:
        self.client, self.headers, self.id = client, headers, actor.device_id
        self.mode = {"removals": "two-step"} if two_step else {}
        self.rows: dict[str, dict[str, Any]] = {}
        self.edits: dict[str, list[dict[str, Any]]] = {}
        self.cursor: str | None = None
        self.number = 0
        self.told: list[Any] = []

    def edit(self, row: UUID, command: str, /, **values: Any) -> None:
        """Edit a row locally; the operation is sent later."""
        self.number += 1
        operation = {
            "id": str(new_id()),
            "number": self.number,
            "command": command,
            "input": wire(values),
            "base": max((one["seq"] for one in self.rows.values()), default=0),
            "occurredAt": now().isoformat(),
        }
        self.edits.setdefault(str(row), []).append(operation)

    async def pull(self, limit: int = 500, **more: Any) -> None:
        self.told = []
        while True:
            asked = {**self.mode, "limit": limit, **({"cursor": self.cursor} if self.cursor else {}), **more}
            page = (await self.client.get("/sync/pull", params=asked, headers=self.headers)).json()
            assert not page["resync"]
            for change in page["changes"]:
                self.take(change)
            self.cursor = page["cursor"]
            if not page["more"]:
                return

    def take(self, change: Any) -> None:
        id = change["id"]
        if change.get("removed"):
            self.told.append((id, "removed"))
            self.rows.pop(id, None)
            self.edits.pop(id, None)
            return
        record = change["record"]
        self.told.append((id, "archived" if record.get("archived") else "changed"))
        self.rows[id] = {**self.rows.get(id, {}), **record, "seq": change["seq"]}
        if not record.get("archived"):
            self.rows[id].pop("archived", None)

    async def push(self) -> list[str]:
        operations = [one for edits in self.edits.values() for one in edits]
        body = {"device": str(self.id), "operations": sorted(operations, key=lambda one: one["number"])}
        answer = (await self.client.post("/sync/push", json=body, headers=self.headers)).json()
        self.edits.clear()
        return [outcome["status"] for outcome in answer["outcomes"]]

    async def sync(self) -> list[str]:
        await self.pull()
        return await self.push()

    def shows(self, row: UUID) -> str:
        held = self.rows.get(str(row))
        return "nothing" if held is None else "archived" if held.get("archived") else "row"


@pytest_asyncio.fixture
async def world(house: House) -> World:
    return await World(house).settle()


@pytest_asyncio.fixture
async def technician(world: World) -> Technician:
    made = await world.technician()
    await world.house.run("enrolDevice", made.actor, id=made.actor.device_id, name="Demo tablet")
    return made


Make = Callable[..., PullFirst]


@pytest.fixture
def make(
    client: httpx2.AsyncClient, bearer: Callable[[Actor], dict[str, str]], technician: Technician
) -> Make:
    def made(**options: Any) -> PullFirst:
        return PullFirst(client, bearer(technician.actor), technician.actor, **options)

    return made


async def take_away(world: World, visit: Appointment) -> None:
    other = await world.technician()
    await world.house.run("reassignAppointment", appointmentId=visit.id, technicianId=other.id)


@pytest.mark.parametrize("two_step", [True, False])
async def test_an_unpushed_edit_of_a_removed_row_survives_only_two_step_removal(
    world: World, technician: Technician, make: Make, two_step: bool
) -> None:
    visit = await world.visit(technician)
    device = make(two_step=two_step)
    await device.sync()
    assert device.shows(visit.id) == "row"
    device.edit(visit.id, "startTravel", appointmentId=visit.id, at=at(0))
    await take_away(world, visit)
    before = len(await world.events(visit))
    await device.pull()
    assert device.shows(visit.id) == ("archived" if two_step else "nothing")
    assert await device.push() == (["merged"] if two_step else [])
    assert len(await world.events(visit)) == before + two_step
    assert bool(await world.conflicts()) == two_step
    await device.pull()
    assert device.shows(visit.id) == "nothing"


async def test_an_archived_row_is_removed_after_a_push_or_with_an_empty_outbox(
    world: World, technician: Technician, make: Make
) -> None:
    visit = await world.visit(technician)
    device = make()
    await device.sync()
    await take_away(world, visit)
    for _ in range(3):
        await device.pull()
        assert device.shows(visit.id) == "archived"
    busy = orjson.dumps({"length": 1}).decode()
    await device.pull(queue=busy)
    assert device.shows(visit.id) == "archived"
    await device.pull(queue=orjson.dumps({"length": 0}).decode())
    assert device.shows(visit.id) == "nothing"


async def test_no_change_of_an_invisible_row_is_sent(
    world: World, technician: Technician, make: Make
) -> None:
    visit = await world.visit(technician, summary="Before")
    device = make()
    await device.sync()
    await take_away(world, visit)
    await world.house.run("updateAppointment", appointmentId=visit.id, summary="Not for them")
    await device.pull()
    assert device.rows[str(visit.id)] == {
        **device.rows[str(visit.id)],
        "summary": "Before",
        "archived": True,
    }


async def test_a_lost_answer_loses_no_removal(world: World, technician: Technician, make: Make) -> None:
    visit = await world.visit(technician)
    device = make()
    await device.sync()
    before = device.cursor
    await take_away(world, visit)
    await device.sync()
    archived = device.cursor
    await device.pull()
    assert (str(visit.id), "removed") in device.told
    for cursor in (archived, before):
        device.cursor = cursor
        await device.sync()
        told = device.told
        await device.pull()
        assert (str(visit.id), "removed") in [*told, *device.told]
    await device.sync()
    assert device.told == []


async def test_a_row_visible_again_is_not_removed(world: World, technician: Technician, make: Make) -> None:
    visit = await world.visit(technician)
    device = make()
    await device.sync()
    await take_away(world, visit)
    await device.sync()
    assert device.shows(visit.id) == "archived"
    await world.house.run("reassignAppointment", appointmentId=visit.id, technicianId=technician.id)
    await device.sync()
    assert device.shows(visit.id) == "row"
    await device.sync()
    assert device.shows(visit.id) == "row"


async def test_a_row_removed_during_another_removal_has_its_own_two_steps(
    world: World, technician: Technician, make: Make
) -> None:
    first, second = await world.visit(technician), await world.visit(technician)
    device = make()
    await device.sync()
    await take_away(world, first)
    await device.pull()
    await take_away(world, second)
    await device.pull()
    assert (device.shows(first.id), device.shows(second.id)) == ("archived", "archived")
    await device.push()
    third = await world.visit(technician)
    await take_away(world, third)
    await device.pull()
    assert (device.shows(first.id), device.shows(second.id)) == ("nothing", "nothing")
    fresh = make()
    await device.sync()
    await device.pull()
    await fresh.pull()
    assert device.rows.keys() == fresh.rows.keys()


@pytest.mark.parametrize("limit", [1, 3])
async def test_small_pages_give_the_same_removals(
    world: World, technician: Technician, make: Make, limit: int
) -> None:
    visits = [await world.visit(technician) for _ in range(3)]
    device = make()
    await device.sync()
    for visit in visits[:2]:
        await take_away(world, visit)
    await world.house.run("updateAppointment", appointmentId=visits[2].id, summary="Changed")
    await device.pull(limit)
    assert [device.shows(visit.id) for visit in visits] == ["archived", "archived", "row"]
    await device.push()
    await device.pull(limit)
    assert [device.shows(visit.id) for visit in visits] == ["nothing", "nothing", "row"]
    fresh = make(two_step=False)
    await fresh.pull()
    assert device.rows.keys() == fresh.rows.keys()


async def test_a_device_that_changes_the_mode_misses_no_removal(
    world: World, technician: Technician, make: Make
) -> None:
    first, second = await world.visit(technician), await world.visit(technician)
    device = make(two_step=False)
    await device.sync()
    device.mode = {"removals": "two-step"}
    await take_away(world, first)
    await device.pull()
    assert device.shows(first.id) == "archived"
    device.mode = {}
    await take_away(world, second)
    await device.pull()
    assert (device.shows(first.id), device.shows(second.id)) == ("nothing", "nothing")


async def test_two_step_removal_needs_a_device_and_its_own_cursor(
    client: httpx2.AsyncClient, bearer: Callable[[Actor], dict[str, str]], technician: Technician, make: Make
) -> None:
    nameless = bearer(replace(technician.actor, device_id=None))
    asked = {"removals": "two-step"}
    refused = await client.get("/sync/pull", params=asked, headers=nameless)
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "device")
    device = make()
    await device.pull()
    for cursor in ("a.b.c", "a.b", f"{device.cursor}.1", f"{device.cursor}x", "..", f"{uuid4()}.1.1"):
        page = await client.get("/sync/pull", params={**asked, "cursor": cursor}, headers=device.headers)
        assert page.json()["resync"], cursor
