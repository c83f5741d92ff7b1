"""A revoked device surrenders its work, erases its copy and confirms; a supervisor decides on the work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy import func, select
from starlette.applications import Starlette

from tests.support.backups import put_back, saved
from tests.support.device import TestDevice
from tests.support.house import House
from tests.support.refusals import refusal
from tournee.auth.models import Device
from tournee.customers.models import Contact, Customer
from tournee.kernel.actor import Actor
from tournee.kernel.conflict import Conflict
from tournee.kernel.entity import new_id
from tournee.kernel.errors import (
    Blocked,
    Forbidden,
    Invalid,
    NotFound,
    ResolutionNotAllowed,
    TransitionNotAllowed,
)
from tournee.sync.devices.surrender import rescue_stranded
from tournee.sync.models import ParkedOperation, Receipt

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

PASSWORD = "a long password"


class Phone:
    """A manager's device, which may do everything offline, over HTTP."""

    def __init__(self, client: httpx2.AsyncClient, house: House, actor: Actor) -> None:
        self.client, self.house, self.actor = client, house, actor
        self.device = TestDevice(house, actor=actor)
        self.id: UUID = self.device.id
        self.tokens: dict[str, str] = {}

    async def sign_in(self, email: str) -> httpx2.Response:
        form = {"grant_type": "password", "username": email, "password": PASSWORD, "device": str(self.id)}
        answer = await self.client.post("/auth/token", data=form)
        if answer.status_code == 200:
            self.tokens = answer.json()
        return answer

    async def renew(self, token: str | None = None) -> httpx2.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token or self.tokens["refresh_token"]}
        return await self.client.post("/auth/token", data=form)

    async def push(self, *operations: Any, mark: str | None = None, **headers: str) -> httpx2.Response:
        sent = headers or {"Authorization": f"Bearer {self.tokens['access_token']}"}
        body = {"device": str(self.id), "app": "demo/1", "schema": 1, "operations": list(operations)}
        body |= {} if mark is None else {"mark": mark}
        return await self.client.post("/sync/push", json=body, headers=sent)

    async def surrender(
        self, *operations: Any, token: str | None = None, mark: str | None = None
    ) -> httpx2.Response:
        shown = token or self.tokens["refresh_token"]
        return await self.push(*operations, mark=mark, Authorization=f"Surrender {shown}")

    async def wiped(self, token: str | None = None) -> httpx2.Response:
        form = {"refresh_token": token or self.tokens["refresh_token"]}
        return await self.client.post("/auth/wiped", data=form)

    async def revoke(self, **options: Any) -> None:
        await self.house.run("revokeDevice", deviceId=self.id, **options)

    async def row(self) -> Device:
        async with self.house.reading() as session:
            return await session.get_one(Device, (self.house.organisation_id, self.id))

    async def inbox(self) -> list[Conflict]:
        async with self.house.reading() as session:
            mine = (Conflict.device_id == self.id, Conflict.kind == "WORK_SURRENDERED")
            found = await session.scalars(select(Conflict).where(*mine).order_by(Conflict.id))
            return list(found)

    async def count(self, model: type[Any]) -> int:
        async with self.house.reading() as session:
            here = model.organisation_id == self.house.organisation_id
            return await session.scalar(select(func.count()).select_from(model).where(here)) or 0


@pytest.fixture
def email() -> str:
    return f"{uuid4()}@demo.example"


@pytest_asyncio.fixture
async def phone(app: Starlette, house: House, client: httpx2.AsyncClient, email: str) -> Phone:
    app.state.authenticator.believed_seconds = 0
    made = Phone(client, house, await house.account("MANAGER", email=email, password=PASSWORD))
    await made.sign_in(email)
    return made


ORDERED = {"wipe": True, "surrender": True}


async def test_every_call_of_a_revoked_device_returns_the_order(phone: Phone) -> None:
    await phone.revoke(surrender=True)
    bearer = {"Authorization": f"Bearer {phone.tokens['access_token']}"}
    for answer in (
        await phone.push(),
        await phone.client.get("/sync/pull", headers=bearer),
        await phone.client.get("/sync/stream", headers=bearer),
        await phone.client.post("/graphql", json={"query": "{me{id}}"}, headers=bearer),
    ):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (403, "DEVICE_REVOKED")
        assert {key: error[key] for key in ORDERED} == ORDERED
    renewal = await phone.renew()
    assert (renewal.status_code, renewal.json()["code"]) == (400, "DEVICE_REVOKED")
    assert {key: renewal.json()[key] for key in ORDERED} == ORDERED


async def test_surrendered_work_is_stored_and_not_applied(phone: Phone) -> None:
    await phone.revoke(surrender=True)
    done = phone.device.operation("createCustomer", name="Demo Hotel")
    answer = await phone.surrender(done)
    assert answer.json()["outcomes"] == [
        {
            "id": done["id"],
            "status": "surrendered",
            "seq": None,
            "code": None,
            "message": None,
            "fields": [],
            "conflict": None,
            "record": None,
        }
    ]
    assert await phone.count(Customer) == 0
    (conflict,) = await phone.inbox()
    assert (conflict.role, conflict.entity, conflict.record_id) == ("MANAGER", "Device", phone.id)
    assert conflict.mine == {"operations": [done], "schema": 1}
    assert (await phone.row()).surrendered_at is not None


async def test_work_with_characters_that_no_database_stores_can_be_surrendered(phone: Phone) -> None:
    await phone.revoke(surrender=True)
    odd = phone.device.operation("createCustomer", name="Demo\x00Hotel")
    nameless = phone.device.operation("  ", name="Demo Inn")
    long = phone.device.operation("createCustomer", name="Demo Bakery", notes="x" * 200_000)
    answer = await phone.surrender(odd, nameless, long)
    assert [outcome["status"] for outcome in answer.json()["outcomes"]] == ["surrendered"] * 3
    shown = {one.operation_id: one.mine["operations"] for one in await phone.inbox()}
    assert shown[UUID(odd["id"])][0]["input"]["name"] == "DemoHotel"
    assert UUID(nameless["id"]) in shown
    assert len(str(shown[UUID(long["id"])])) < 100_000
    assert await phone.count(ParkedOperation) == 3


async def test_work_surrendered_again_is_a_duplicate(phone: Phone) -> None:
    before = phone.device.operation("createCustomer", name="Before")
    await phone.push(before)
    await phone.revoke(surrender=True)
    done = phone.device.operation("createCustomer", name="Demo Hotel")
    for _ in range(2):
        answer = await phone.surrender(before, done, done)
    assert [outcome["status"] for outcome in answer.json()["outcomes"]] == ["surrendered"] * 3
    other = await phone.surrender(done | {"input": {"name": "Another"}})
    assert other.json()["outcomes"][0]["code"] == "OPERATION_REUSED"
    assert len(await phone.inbox()) == 1
    (conflict,) = await phone.inbox()
    await phone.house.run("acceptSurrenderedWork", conflictId=conflict.id)
    assert (await phone.surrender(done)).json()["outcomes"][0]["status"] == "surrendered"
    assert (await phone.count(Customer), len(await phone.inbox())) == (2, 1)


@pytest.mark.parametrize("told", ["accepted", "surrendered"])
async def test_a_surrendering_device_learns_of_history_lost_without_a_new_epoch(
    phone: Phone, told: str
) -> None:
    """The lost work may have been applied or surrendered."""
    first, second = (phone.device.operation("createCustomer", name=name) for name in ("A", "B"))
    backup = saved(phone.house)
    if told == "surrendered":
        await phone.revoke(surrender=True)
        backup = saved(phone.house)
    hand_in = phone.push if told == "accepted" else phone.surrender
    answer = (await hand_in(first)).json()
    assert answer["outcomes"][0]["status"] == ("applied" if told == "accepted" else "surrendered")
    await put_back(backup, phone.house)
    await phone.house.run("createSkill", name="Demo lifts")
    await phone.house.run("createSkill", name="Demo doors")
    if told == "accepted":
        await phone.revoke(surrender=True)
    lost = (await phone.surrender(second, mark=answer["mark"])).json()
    assert (lost["outcomes"], lost["resync"], lost["epoch"]) == ([], True, answer["epoch"])
    assert await phone.inbox() == []
    known = (await phone.surrender(first, second)).json()
    assert [outcome["status"] for outcome in known["outcomes"]] == ["surrendered"] * 2
    assert "resync" not in (await phone.surrender(second, mark=known["mark"])).json()


async def test_without_permission_to_surrender_no_work_is_accepted(phone: Phone) -> None:
    await phone.revoke()
    answer = await phone.surrender(phone.device.operation("createCustomer", name="Demo"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "DEVICE_REVOKED")
    assert answer.json()["error"]["surrender"] is False
    assert await phone.inbox() == []


async def test_the_refresh_token_of_a_revoked_device_opens_nothing_else(phone: Phone) -> None:
    await phone.revoke(surrender=True)
    token = phone.tokens["refresh_token"]
    for scheme, code in (("Surrender", "UNAUTHENTICATED"), ("Bearer", "TOKEN_INVALID")):
        for path in ("/sync/pull", "/sync/stream", "/graphql"):
            answer = await phone.client.get(path, headers={"Authorization": f"{scheme} {token}"})
            assert refusal(answer) == (401, code), (scheme, path)
    assert refusal(await phone.push(Authorization=f"Bearer {token}")) == (401, "TOKEN_INVALID")


async def test_unknown_old_and_unrevoked_tokens_get_the_same_refusal(phone: Phone) -> None:
    first = phone.tokens["refresh_token"]
    second = (await phone.renew()).json()["refresh_token"]
    third = (await phone.renew(second)).json()["refresh_token"]
    enrolled = await phone.surrender(token=third)
    await phone.revoke(surrender=True)
    stranger = await phone.surrender(token="made up")
    old = await phone.surrender(token=first)
    for answer in (enrolled, old):
        assert (answer.status_code, answer.json()) == (401, stranger.json())
    assert (await phone.wiped(first)).json() == (await phone.wiped("made up")).json()
    assert (await phone.renew(first)).json() == (await phone.renew("made up")).json()
    assert (await phone.surrender(token=third)).status_code == 200


async def test_a_device_that_lost_its_last_renewal_is_still_recognised(phone: Phone) -> None:
    await phone.renew()
    await phone.revoke(surrender=True)
    assert (await phone.surrender()).status_code == 200
    assert (await phone.wiped()).status_code == 204


async def test_a_signed_out_device_receives_a_token_to_surrender_and_confirm(
    phone: Phone, email: str
) -> None:
    await phone.house.run("signOut", replace(phone.actor, device_id=phone.id))
    await phone.revoke(surrender=True)
    answer = await phone.sign_in(email)
    assert (answer.status_code, answer.json()["code"]) == (400, "DEVICE_REVOKED")
    token = answer.json()["refresh_token"]
    assert answer.json()["surrender"] is True
    assert refusal(await phone.renew(token)) == (400, "DEVICE_REVOKED")
    assert refusal(await phone.push(Authorization=f"Bearer {token}")) == (401, "TOKEN_INVALID")
    assert (await phone.surrender(token=token)).status_code == 200
    assert (await phone.wiped(token)).status_code == 204


async def test_a_device_cannot_surrender_work_as_another(phone: Phone) -> None:
    await phone.revoke(surrender=True)
    phone.id = uuid4()
    answer = await phone.surrender()
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "DEVICE_MISMATCH")


async def test_confirming_a_wipe_again_changes_nothing(phone: Phone) -> None:
    await phone.revoke(surrender=True)
    assert (await phone.wiped()).status_code == 204
    at = (await phone.row()).wiped_at
    assert at is not None
    assert (await phone.wiped()).status_code == 204
    wiped = await phone.row()
    assert (wiped.status, wiped.wiped_at) == ("WIPED", at)
    late = await phone.surrender(phone.device.operation("createCustomer", name="Late"))
    assert (refusal(late), late.json()["error"]["surrender"]) == ((403, "DEVICE_REVOKED"), False)


async def test_a_revoked_device_of_a_disabled_account_still_receives_the_order_to_wipe(
    phone: Phone, house: House
) -> None:
    await house.run("setPassword", accountId=phone.actor.id, password="quite another")
    assert "code" not in (await phone.renew()).json()
    await house.run("disableAccount", await house.account("MANAGER"), accountId=phone.actor.id)
    await phone.revoke(surrender=True)
    assert (await phone.renew()).json()["surrender"] is True
    assert refusal(await phone.push()) == (403, "DEVICE_REVOKED")
    assert (await phone.surrender()).status_code == 200
    assert (await phone.wiped()).status_code == 204


async def test_accepted_work_is_applied_as_its_author(phone: Phone) -> None:
    id = uuid4()
    await phone.revoke(surrender=True)
    done = phone.device.operation("createCustomer", id=id, name="Demo Hotel")
    await phone.surrender(done)
    (conflict,) = await phone.inbox()
    decided = await phone.house.run("acceptSurrenderedWork", conflictId=conflict.id, note="Called them")
    assert (decided.status, decided.resolution, decided.note) == ("RESOLVED", "TAKE_MINE", "Called them")
    (change,) = await phone.house.changes(id)
    assert (change.actor_id, change.device_id) == (phone.actor.id, phone.id)
    assert (str(change.operation_id), change.command) == (done["id"], "createCustomer")
    (_, closing) = await phone.house.changes(conflict.id)
    assert (closing.command, closing.actor_id) == ("acceptSurrenderedWork", phone.house.actor("MANAGER").id)
    async with phone.house.reading() as session:
        receipt = await session.get_one(Receipt, (phone.house.organisation_id, UUID(done["id"])))
    assert (receipt.status, receipt.seq) == ("applied", change.seq)
    assert await phone.count(ParkedOperation) == 0
    with pytest.raises(TransitionNotAllowed):
        await phone.house.run("acceptSurrenderedWork", conflictId=conflict.id)


async def test_an_accepted_edit_is_merged_with_later_office_changes(phone: Phone) -> None:
    customer = await phone.house.run("createCustomer", name="Demo Hotel", phone="1")
    await phone.device.pull()
    await phone.house.run("updateCustomer", customerId=customer.id, name="Grand Demo Hotel")
    await phone.revoke(surrender=True)
    await phone.surrender(phone.device.operation("updateCustomer", customerId=customer.id, phone="2"))
    (conflict,) = await phone.inbox()
    await phone.house.run("acceptSurrenderedWork", conflictId=conflict.id)
    async with phone.house.reading() as session:
        row = await session.get_one(Customer, (phone.house.organisation_id, customer.id))
    assert (row.name, row.phone) == ("Grand Demo Hotel", "2")


async def test_accepted_work_is_applied_in_its_original_order(phone: Phone) -> None:
    customer = uuid4()
    await phone.revoke(surrender=True)
    made = phone.device.operation("createCustomer", id=customer, name="Demo Hotel")
    then = phone.device.operation("createContact", customerId=customer, name="Demo Contact")
    await phone.surrender(then, made)
    first, second = sorted(await phone.inbox(), key=lambda one: one.mine["operations"][0]["number"])
    with pytest.raises(Blocked):
        await phone.house.run("acceptSurrenderedWork", conflictId=second.id)
    await phone.house.run("acceptSurrenderedWork", conflictId=first.id)
    await phone.house.run("acceptSurrenderedWork", conflictId=second.id)
    assert (await phone.count(Customer), await phone.count(Contact)) == (1, 1)


async def test_surrendered_work_that_is_refused_stays_open_and_can_be_dismissed(phone: Phone) -> None:
    await phone.revoke(surrender=True)
    unit = uuid4()
    good = phone.device.operation("createCustomer", unit=unit, name="Demo Hotel")
    bad = phone.device.operation("createContact", unit=unit, customerId=uuid4(), name="Demo")
    after = phone.device.operation("createCustomer", name="After")
    await phone.surrender(good, bad, after)
    first, second = sorted(await phone.inbox(), key=lambda one: one.mine["operations"][0]["number"])
    assert [one["number"] for one in first.mine["operations"]] == [1, 2]
    with pytest.raises(NotFound):
        await phone.house.run("acceptSurrenderedWork", conflictId=first.id)
    assert (await phone.count(Customer), (await phone.inbox())[0].status) == (0, "OPEN")
    dismissed = await phone.house.run("dismissSurrenderedWork", conflictId=first.id)
    assert (dismissed.status, dismissed.resolution) == ("RESOLVED", "KEEP_THEIRS")
    await phone.house.run("acceptSurrenderedWork", conflictId=second.id)
    assert (await phone.count(Customer), await phone.count(ParkedOperation)) == (1, 0)


async def test_deciding_on_surrendered_work_needs_the_permission_to_manage_devices(
    phone: Phone, house: House
) -> None:
    await phone.revoke(surrender=True)
    await phone.surrender(phone.device.operation("createCustomer", name="Demo Hotel"))
    (conflict,) = await phone.inbox()
    for role in ("DISPATCHER", "TECHNICIAN", "AUDITOR"):
        with pytest.raises(Forbidden):
            await house.run("acceptSurrenderedWork", role, conflictId=conflict.id)
    with pytest.raises(ResolutionNotAllowed):
        await house.run("resolveConflict", conflictId=conflict.id)
    other = await House(house.database).found()
    with pytest.raises(NotFound):
        await other.run("acceptSurrenderedWork", conflictId=conflict.id)
    customer = await house.run("createCustomer", name="Demo")
    device = TestDevice(house, "MANAGER")
    await device.pull()
    await house.run("updateCustomer", customerId=customer.id, phone="1")
    clash = (await device.do("updateCustomer", customerId=customer.id, phone="2")).conflict
    with pytest.raises(Invalid):
        await house.run("dismissSurrenderedWork", conflictId=clash)


@pytest.mark.parametrize("surrender", [True, False])
async def test_work_left_waiting_by_a_revoked_device_reaches_the_inbox(
    phone: Phone, house: House, surrender: bool
) -> None:
    await phone.push(phone.device.operation("createCustomer", name="First"))
    missing = phone.device.operation("createCustomer", name="Second")
    waits = phone.device.operation("createCustomer", name="Third")
    assert (await phone.push(waits)).json()["outcomes"][0]["status"] == "parked"
    await phone.revoke(surrender=surrender)
    if surrender:
        await phone.surrender(missing)
    assert await rescue_stranded(house.kernel, house.organisation_id) == (0 if surrender else 1)
    assert await rescue_stranded(house.kernel, house.organisation_id) == 0
    handed = [one for conflict in await phone.inbox() for one in conflict.mine["operations"]]
    assert handed == ([missing, waits] if surrender else [waits])


@pytest.fixture
def graphql(client: httpx2.AsyncClient, bearer: Callable[[Actor], dict[str, str]]) -> Any:
    async def ask(actor: Actor, query: str) -> Any:
        return (await client.post("/graphql", json={"query": query}, headers=bearer(actor))).json()["data"]

    return ask


async def test_a_manager_sees_the_surrendered_work_and_the_devices_status(
    phone: Phone, house: House, graphql: Any
) -> None:
    boss = await house.account("MANAGER")
    await phone.revoke(surrender=True)
    await phone.surrender(phone.device.operation("createCustomer", name="Demo Hotel"))
    found = await graphql(
        boss, "{conflicts(filter:{kind:{eq:WORK_SURRENDERED}}){nodes{id status mine record{id}}}}"
    )
    (one,) = found["conflicts"]["nodes"]
    assert (one["status"], one["record"]["id"]) == ("OPEN", str(phone.id))
    accept = f'mutation{{acceptSurrenderedWork(input:{{conflictId:"{one["id"]}"}}){{__typename}}}}'
    assert await graphql(boss, accept) == {"acceptSurrenderedWork": {"__typename": "Conflict"}}
    await phone.wiped()
    asked = f'{{device(id:"{phone.id}"){{status surrenderedAt wiped: wipedAt}}}}'
    told = (await graphql(boss, asked))["device"]
    assert told["status"] == "WIPED"
    assert told["wiped"]


async def test_surrendered_work_is_decided_like_any_other_conflict(phone: Phone) -> None:
    await phone.revoke(surrender=True)
    made = [phone.device.operation("createCustomer", id=uuid4(), name=name) for name in ("First", "Second")]
    await phone.surrender(*made)
    first, second = await phone.inbox()
    for resolution in ("ACKNOWLEDGED", "REOPEN"):
        with pytest.raises(ResolutionNotAllowed):
            await phone.house.run("resolveConflict", conflictId=first.id, resolution=resolution)
    with pytest.raises(Forbidden):
        await phone.house.run("resolveConflict", "DISPATCHER", conflictId=first.id, resolution="TAKE_MINE")
    await phone.house.run("resolveConflict", conflictId=first.id, resolution="TAKE_MINE", note="Demo")
    await phone.house.run("resolveConflict", conflictId=second.id, resolution="KEEP_THEIRS")
    assert await phone.count(Customer) == 1
    decided = [(row.resolution, row.note, row.resolution_operation_id is None) for row in await phone.inbox()]
    assert decided == [("TAKE_MINE", "Demo", False), ("KEEP_THEIRS", None, False)]


@pytest.mark.parametrize(("resolution", "made"), [("TAKE_MINE", 1), ("KEEP_THEIRS", 0)])
async def test_another_devices_dependents_of_surrendered_work_follow_the_decision(
    phone: Phone, resolution: str, made: int
) -> None:
    account = await phone.house.account("MANAGER")
    other, customer = TestDevice(phone.house, actor=account), new_id()
    child = other.operation("createContact", customerId=customer, name="Demo Reception")
    assert (await other.push(child))[0].status == "parked"
    await phone.revoke(surrender=True)
    await phone.surrender(phone.device.operation("createCustomer", id=customer, name="Demo Hotel"))
    (entry,) = await phone.inbox()
    await phone.house.run("resolveConflict", conflictId=entry.id, resolution=resolution)
    assert (await phone.count(Contact), await phone.count(ParkedOperation)) == (made, 0)
    (outcome,) = await other.push(child)
    assert (outcome.status, outcome.code) == (("duplicate", None) if made else ("rejected", "PARENT_REFUSED"))


async def test_unreadable_surrendered_work_is_shown_to_a_manager(phone: Phone) -> None:
    known = phone.device.operation("createCustomer", name="Demo Hotel")
    malformed = phone.device.operation("createCustomer", name="Demo Bakery") | {"occurredAt": "today"}
    reused = known | {"input": {"name": "Demo Inn"}}
    deep: Any = []
    for _ in range(500):
        deep = [deep]
    await phone.push(known)
    await phone.revoke(surrender=True)
    for _ in range(2):
        answer = await phone.surrender(known, malformed, reused, "nothing at all\x00", {"input": deep}, {})
        outcomes = answer.json()["outcomes"]
        assert [outcome["status"] for outcome in outcomes] == ["surrendered", *["rejected"] * 5]
    async with phone.house.reading() as session:
        mine = (Conflict.device_id == phone.id, Conflict.kind == "OPERATION_REJECTED")
        entries = {str(one.id): one for one in await session.scalars(select(Conflict).where(*mine))}
    shown = [entries[outcome["conflict"]] for outcome in outcomes[1:]]
    assert len(entries) == 5
    assert [one.role for one in shown] == ["MANAGER"] * 5
    assert [one.theirs["code"] for one in shown] == ["INVALID", "OPERATION_REUSED", *["INVALID"] * 3]
    assert shown[0].mine["operations"] == [malformed]
    assert shown[1].mine["operations"] == [reused]
    decide = {"conflictId": shown[0].id, "resolution": "RETRY"}
    with pytest.raises(Blocked, match="do it again"):
        await phone.house.run("resolveConflict", **decide)
    for one in shown:
        await phone.house.run("resolveConflict", conflictId=one.id, resolution="DISMISS")
