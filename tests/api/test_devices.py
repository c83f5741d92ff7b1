"""What the office sees of devices, and how it finds those that need attention."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import orjson
import pytest
import pytest_asyncio
from sqlalchemy import event, update
from starlette.applications import Starlette

from tests.support.house import House
from tests.support.refusals import refusal
from tournee.auth.models import Device
from tournee.kernel.actor import Actor
from tournee.kernel.entity import now
from tournee.sync.devices.report import Report
from tournee.sync.models import DeviceState

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

PASSWORD = "a long password"
SHOWN = """lastSeenAt app schema acknowledgedSeq behindBy pending queueLength queueOldestAt clockSkew"""


class Fleet:
    """Technicians' devices that speak HTTP, and a manager who looks at them."""

    def __init__(self, app: Starlette, client: httpx2.AsyncClient, house: House) -> None:
        self.app, self.client, self.house = app, client, house
        self.manager: dict[str, str] = {}

    async def sign_in(self, name: str = "Demo tablet") -> tuple[UUID, dict[str, str]]:
        email, device = f"{uuid4()}@demo.example", uuid4()
        await self.house.account("TECHNICIAN", email=email, password=PASSWORD)
        form = {"grant_type": "password", "username": email, "password": PASSWORD, "device": str(device)}
        answer = await self.client.post("/auth/token", data=form | {"device_name": name})
        return device, {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def settle(self) -> None:
        """Write the buffered device reports now."""
        await self.app.state.acknowledged.write()

    async def ask(self, query: str, **variables: Any) -> Any:
        body = {"query": query, "variables": variables}
        said = (await self.client.post("/graphql", json=body, headers=self.manager)).json()
        assert "errors" not in said, said
        return said["data"]

    async def shown(self, device: UUID) -> Any:
        await self.settle()
        return (await self.ask(f'{{device(id:"{device}"){{{SHOWN}}}}}'))["device"]

    async def found(self, wanted: str) -> list[str]:
        await self.settle()
        query = f"{{devices(filter:{{{wanted}}},orderBy:[{{name:ASC}}]){{nodes{{name}} totalCount}}}}"
        found = (await self.ask(query))["devices"]
        names = [one["name"] for one in found["nodes"]]
        assert found["totalCount"] == len(names)
        return names


@pytest_asyncio.fixture
async def fleet(
    app: Starlette, client: httpx2.AsyncClient, house: House, bearer: Callable[[Actor], dict[str, str]]
) -> Fleet:
    made = Fleet(app, client, house)
    made.manager = bearer(await house.account("MANAGER"))
    return made


async def test_signing_in_enrols_a_device_without_a_report(fleet: Fleet) -> None:
    device, _ = await fleet.sign_in()
    shown = await fleet.shown(device)
    assert shown.pop("lastSeenAt")
    assert shown.pop("pending") == 0
    assert set(shown.values()) == {None}


async def test_a_device_reports_its_state_with_each_pull_and_push(fleet: Fleet) -> None:
    device, headers = await fleet.sign_in()
    since = "2026-11-23T09:12:00Z"
    report = {
        "app": "demo/2",
        "schema": 3,
        "clockSkew": -1500,
        "queue": orjson.dumps({"length": 2, "oldestAt": since}).decode(),
    }
    page = (await fleet.client.get("/sync/pull", params=report, headers=headers)).json()
    shown = await fleet.shown(device)
    said = {"app": "demo/2", "schema": 3, "clockSkew": -1.5, "queueLength": 2, "queueOldestAt": since}
    assert {name: shown[name] for name in said} == said
    assert shown["acknowledgedSeq"] is None, "it has not pulled with a cursor yet"

    pulled = await fleet.client.get("/sync/pull", params={"cursor": page["cursor"]}, headers=headers)
    assert pulled.status_code == 200
    shown = await fleet.shown(device)
    assert {name: shown[name] for name in said} == said, "unreported values stay"
    assert shown["behindBy"] == 0
    for name in ("One", "Two"):
        await fleet.house.run("createCustomer", name=name)
    assert (await fleet.shown(device))["behindBy"] == 2

    push = {"device": str(device), "app": "demo/3", "schema": 4, "operations": [], "queue": {"length": 0}}
    assert (await fleet.client.post("/sync/push", json=push, headers=headers)).status_code == 200
    shown = await fleet.shown(device)
    assert (shown["app"], shown["schema"], shown["queueLength"]) == ("demo/3", 4, 0)
    assert shown["queueOldestAt"] is None
    assert shown["clockSkew"] == -1.5


async def test_waiting_operations_are_counted(fleet: Fleet) -> None:
    device, headers = await fleet.sign_in()
    operation = {"command": "addNote", "input": {}, "occurredAt": now().isoformat()}
    for number in (1, 3, 4):
        sent = [operation | {"id": str(uuid4()), "number": number}]
        await fleet.client.post(
            "/sync/push", json={"device": str(device), "operations": sent}, headers=headers
        )
    assert (await fleet.shown(device))["pending"] == 2


async def test_devices_that_need_attention_can_be_filtered(fleet: Fleet, house: House) -> None:
    ids = {}
    for name in ("fresh", "silent", "hoarding", "never"):
        ids[name], headers = await fleet.sign_in(name)
        if name != "never":
            old = {"length": 4, "oldestAt": "2026-01-01T00:00:00Z"} if name == "hoarding" else {"length": 0}
            queue = {"queue": orjson.dumps(old).decode(), "app": f"demo/{len(ids)}"}
            await fleet.client.get("/sync/pull", params=queue, headers=headers)
    await fleet.settle()
    async with house.writing() as session:
        silent = DeviceState.device_id == ids["silent"]
        await session.execute(
            update(DeviceState).where(silent).values(last_seen_at=now() - timedelta(days=9))
        )
        await session.commit()
    week = (now() - timedelta(days=7)).isoformat()
    assert await fleet.found(f'lastSeenAt:{{lt:"{week}"}}') == ["silent"]
    assert await fleet.found(f'lastSeenAt:{{gte:"{week}"}}') == ["fresh", "hoarding", "never"]
    assert await fleet.found(f'queueOldestAt:{{lt:"{week}"}}') == ["hoarding"]
    assert await fleet.found("queueLength:{gt:0}") == ["hoarding"]
    assert await fleet.found(f'or:[{{queueLength:{{gt:0}}}},{{lastSeenAt:{{lt:"{week}"}}}}]') == [
        "hoarding",
        "silent",
    ]
    assert await fleet.found('app:{eq:"demo/1"}, status:{eq:ENROLLED}') == ["fresh"]
    assert await fleet.found("app:{isNull:true}") == ["never"]


async def test_many_devices_cost_the_same_statements_as_one(fleet: Fleet) -> None:
    statements: list[str] = []
    engine = fleet.app.state.kernel.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
    counts = []
    for _ in range(2):
        await fleet.sign_in()
        await fleet.settle()
        statements.clear()
        await fleet.ask(f"{{devices{{nodes{{id {SHOWN}}}}}}}")
        counts.append(len([one for one in statements if "device_state.queue_length" in one]))
    assert counts == [1, 1]


async def test_only_the_device_itself_reports_and_other_organisations_see_nothing(fleet: Fleet) -> None:
    device, headers = await fleet.sign_in()
    await fleet.client.get("/sync/pull", params={"app": "mine/1"}, headers=headers)
    await fleet.settle()
    _, others = await fleet.sign_in("other")
    stolen = {"app": "theirs/1", "device": str(device)}
    answer = await fleet.client.get("/sync/pull", params=stolen, headers=others)
    assert refusal(answer) == (403, "DEVICE_MISMATCH")
    assert (await fleet.shown(device))["app"] == "mine/1"
    other = await House(fleet.house.database).found()
    manager = await other.account("MANAGER")
    headers = {"Authorization": f"Bearer {fleet.app.state.tokens.issue(manager)}"}
    body = {"query": f'{{device(id:"{device}"){{lastSeenAt}} devices{{totalCount}}}}'}
    said = (await fleet.client.post("/graphql", json=body, headers=headers)).json()["data"]
    assert said == {"device": None, "devices": {"totalCount": 0}}


@pytest.mark.parametrize(
    "body",
    [
        {"app": 5, "schema": "x", "queue": [], "clockSkew": 1.5},
        {"queue": {"length": -1, "oldestAt": "yesterday"}},
        {"queue": {"length": True, "oldestAt": 5}},
        {"queue": {"length": 2**53, "oldestAt": "2026-01-01T00:00:00"}},
        {"schema": 2**31, "queue": {"oldestAt": "0001-01-01T00:00:00+14:00"}},
    ],
)
def test_an_unreadable_report_is_ignored(body: Any) -> None:
    assert Report.read(body) == Report()
    texts = {key: orjson.dumps(value).decode() for key, value in body.items() if key != "app"}
    assert Report.of_query(texts | {"queue": texts.get("queue", "{")}) == Report()


def test_device_reports_are_not_stored_in_the_record() -> None:
    assert not {"lastSeenAt", "queueLength"} & {column.key for column in Device.__mapper__.column_attrs}
