"""Idempotency keys: a mutation that is sent again takes effect once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy import update

from tests.support.device import technicians_device, visit
from tests.support.house import House
from tests.support.serving import door
from tournee.api.context import Context
from tournee.customers.models import Customer
from tournee.kernel.entity import now
from tournee.kernel.once import KEPT, IdempotencyKey, purge_keys_used
from tournee.kernel.values import wire_time

CREATE = """mutation($n: String!) {
  a: createCustomer(input: {name: $n}) {... on Customer {id name} ... on Refusal {code}}}"""


@pytest_asyncio.fixture
async def http(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=door(house))
    headers = {"authorization": "Bearer manager"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://demo", headers=headers) as opened:
        yield opened


async def create(http: httpx2.AsyncClient, key: str | None, name: str = "Demo", **more: str) -> Any:
    headers = more if key is None else {"Idempotency-Key": key, **more}
    body = {"query": CREATE, "variables": {"n": name}}
    return (await http.post("/graphql", json=body, headers=headers)).json()


async def test_a_repeated_mutation_takes_effect_once_and_is_answered_alike(
    house: House, http: httpx2.AsyncClient
) -> None:
    first = await create(http, "one")
    assert await create(http, "one") == first
    assert len(await house.rows(Customer)) == 1
    assert (await create(http, "one", "Another"))["data"]["a"] == {"code": "OPERATION_REUSED"}
    other = await create(http, "one", authorization="Bearer dispatcher")
    assert other["data"]["a"]["id"] != first["data"]["a"]["id"]
    assert (await create(http, None))["data"]["a"]["id"] != (await create(http, None))["data"]["a"]["id"]
    assert len(await house.rows(Customer)) == 4


async def test_each_mutation_of_a_request_takes_effect_once(house: House, http: httpx2.AsyncClient) -> None:
    made = 'createCustomer(input: {name: "Demo"}) {... on Customer {id}}'
    body = {"query": f"mutation {{a: {made} b: {made}}}"}
    answers = [
        (await http.post("/graphql", json=body, headers={"Idempotency-Key": "two"})).json() for _ in "ab"
    ]
    assert answers[0] == answers[1]
    assert len(await house.rows(Customer)) == 2


async def test_requests_with_one_key_at_the_same_time_take_effect_once(
    house: House, http: httpx2.AsyncClient
) -> None:
    answers = await asyncio.gather(*(create(http, "both") for _ in range(5)))
    assert len({one["data"]["a"]["id"] for one in answers}) == 1
    assert len(await house.rows(Customer)) == 1


async def test_a_request_whose_answer_was_lost_can_be_sent_again(
    house: House, http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Context, "renew", lambda _: 1 / 0)
        assert (await create(http, "lost"))["errors"]
    (customer,) = await house.rows(Customer)
    assert (await create(http, "lost"))["data"]["a"] == {"id": str(customer.id), "name": "Demo"}
    assert len(await house.rows(Customer)) == 1


async def test_a_refused_mutation_uses_up_no_key(house: House, http: httpx2.AsyncClient) -> None:
    assert (await create(http, "refused", "x" * 300))["data"]["a"] == {"code": "INVALID"}
    assert (await create(http, "refused", "Demo"))["data"]["a"]["name"] == "Demo"


REJECT = """mutation($one: RejectAppointmentInput!) {
  found: rejectAppointment(input: $one) {... on Appointment {status} ... on Refusal {code}}}"""
REJECT_TOGETHER = """mutation($one: RejectAppointmentInput!) {
  found: bulk(policy: EACH, commands: [{rejectAppointment: $one}]) {
    record {... on Appointment {status}} refusal {code}}}"""


@pytest.mark.parametrize(
    ("document", "before", "after"),
    [
        (REJECT, {"status": "SCHEDULED"}, {"code": "NOT_FOUND"}),
        (
            REJECT_TOGETHER,
            [{"record": {"status": "SCHEDULED"}, "refusal": None}],
            [{"record": None, "refusal": {"code": "NOT_FOUND"}}],
        ),
    ],
)
async def test_a_repeated_mutation_shows_no_later_state_of_a_record_that_is_hidden_now(
    house: House, document: str, before: Any, after: Any
) -> None:
    device = await technicians_device(house)
    appointment, _ = await visit(house, device)
    await house.run("dispatchAppointment", appointmentId=appointment)
    app = door(house)
    app.tokens["theirs"] = device.actor
    headers = {"authorization": "Bearer theirs", "Idempotency-Key": "reject"}
    one = {"appointmentId": str(appointment), "at": wire_time(now()), "reason": "Demo ill"}
    body = {"query": document, "variables": {"one": one}}
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://demo", headers=headers) as http:
        for _ in "ab":
            assert (await http.post("/graphql", json=body)).json() == {"data": {"found": before}}
        await house.run("cancelAppointment", appointmentId=appointment, reason="Demo")
        assert (await http.post("/graphql", json=body)).json() == {"data": {"found": after}}


async def test_a_key_is_short_and_kept_for_two_days(house: House, http: httpx2.AsyncClient) -> None:
    assert (await create(http, "x" * 201))["errors"][0]["extensions"]["code"] == "BAD_REQUEST"
    await create(http, "old")
    await create(http, "young")
    assert await purge_keys_used(house.database, house.organisation_id) == 0
    async with house.writing() as session:
        old = update(IdempotencyKey).where(IdempotencyKey.key == "old")
        await session.execute(old.values(used_at=now() - KEPT - timedelta(hours=1)))
        await session.commit()
    assert await purge_keys_used(house.database, house.organisation_id) == 1
    (left,) = await house.rows(IdempotencyKey)
    assert left.key == "young"
