"""Live lists: the events of a filtered list follow from the log alone, and lead to the list itself."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tests.support.ask import ask
from tests.support.device import technicians_device, visit
from tests.support.house import House
from tests.support.serving import door, served
from tests.support.sockets import connected, hear, say, settle, waking
from tournee.api import subscriptions
from tournee.api.context import Context
from tournee.api.live import ListChangeKind, Live
from tournee.catalogue import ENTITIES
from tournee.customers.models import Customer
from tournee.engine.tail import Tail
from tournee.kernel.actor import Actor
from tournee.sync.pull.feed import Feed
from tournee.sync.pull.position import write_position

FILTER = {
    "phone": {"in": ["1", "2"]},
    "not": {"status": {"eq": "INACTIVE"}},
    "or": [{"tags": {"has": "vip"}}, {"name": {"contains": "DEMÓ"}}],
}
CHANGES: list[dict[str, Any]] = [
    {"phone": "1"},
    {"phone": "3"},
    {"phone": None},
    {"status": "INACTIVE"},
    {"status": "ACTIVE"},
    {"tags": ["vip"]},
    {"name": "X"},
]
LIST = "query($filter: CustomerFilter) {customers(first: 500, filter: $filter) {nodes {id}}}"
LIVE = """subscription($filter: CustomerFilter, $since: String) {
  customerChanges(filter: $filter, since: $since) {kind recordId cursor node {name}} }"""


async def events(
    house: House,
    since: str,
    wanted: Any,
    tail: Tail | None = None,
    most: int = 10_000,
    _as: Actor | None = None,
) -> list[tuple[str, str, str]]:
    """Return the kind, record and cursor of the first events past a cursor, up to the end of the log."""
    feed = Feed(house.database, tuple(ENTITIES.values()), tail)
    context = Context(house.kernel, _as or house.actor("MANAGER"), feed)
    live, found, head = Live(Customer, context, wanted), [], await house.seq()
    async for page in subscriptions.pages(context, since):
        found += [
            (one.kind, str(one.record_id), write_position(one.place)) for one in await live.events(page)
        ]
        if not page or page[-1].seq >= head or len(found) >= most:
            return found[:most]
    return found


def applied(found: list[tuple[str, str, str]], known: set[str]) -> set[str]:
    """Apply the events as a client does, and check that each fits what it has."""
    for kind, id, _ in found:
        assert (id in known) == (kind != ListChangeKind.ENTERED), kind
        (known.discard if kind == ListChangeKind.LEFT else known.add)(id)
    return known


async def history(house: House, steps: int, seed: int) -> None:
    chance, ids = random.Random(seed), []
    for step in range(steps):
        if not ids or chance.random() < 0.2:
            made = await house.run("createCustomer", name=f"Demo {step}", phone=chance.choice(["1", "3"]))
            ids.append(made.id)
        else:
            change = chance.choice([*CHANGES, {"name": f"Demo {step}"}])
            await house.run("updateCustomer", customerId=chance.choice(ids), **change)


@pytest.mark.slow("It reconnects after each event.")
async def test_events_lead_to_the_list_whatever_the_pages_and_reconnects(
    house: House, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.run("createCustomer", name="Demo 0", phone="1")
    start = await settle(house)
    known = {row["id"] for row in (await ask(house, LIST, filter=FILTER))["customers"]["nodes"]}
    await history(house, 24, seed=4)
    whole = await events(house, start, FILTER)
    assert {kind for kind, _, _ in whole} == set(ListChangeKind)
    now = {row["id"] for row in (await ask(house, LIST, filter=FILTER))["customers"]["nodes"]}
    assert applied(whole, set(known)) == now
    # The same events in small pages, with a reconnect after each, and from memory.
    monkeypatch.setattr(subscriptions, "_PAGE", 3)
    place, found = start, []
    while one := await events(house, place, FILTER, most=1):
        found += one
        place = one[0][2]
    assert found == whole
    assert await events(house, start, FILTER, tail) == whole
    half = whole[len(whole) // 2][2]
    assert await events(house, half, FILTER, tail) == whole[len(whole) // 2 + 1 :]


@pytest.mark.prove_on("postgresql", "The same on the other database.")
async def test_a_live_list_is_sent_over_a_socket(house: House) -> None:
    since = await settle_on(house)
    async with waking(house) as wake, served(door(house, wake)) as address, connected(address) as socket:
        variables = {"filter": {"name": {"startsWith": "demo in"}}, "since": since}
        await say(socket, type="subscribe", id="1", payload={"query": LIVE, "variables": variables})
        customer = await house.run("createCustomer", name="Demo Inn")
        await house.run("createCustomer", name="Demo Out")
        await house.run("updateCustomer", customerId=customer.id, phone="1")
        await house.run("updateCustomer", customerId=customer.id, name="Demo Closed")
        got = [(await hear(socket))["payload"]["data"]["customerChanges"] for _ in range(3)]
    assert [one["kind"] for one in got] == ["ENTERED", "CHANGED", "LEFT"]
    assert {one["recordId"] for one in got} == {str(customer.id)}
    assert got[2]["node"] is None


async def settle_on(house: House) -> str:
    await house.run("createCustomer", name="Demo 0")
    return await settle(house)


@pytest.mark.prove_on("postgresql", "The same on the other database.")
async def test_a_deleted_record_leaves_and_only_once(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo")
    contact = await house.run("createContact", customerId=customer.id, name="Demo One")
    since = await settle(house)
    await house.run("deleteContact", contactId=contact.id)
    feed = Feed(house.database, tuple(ENTITIES.values()))
    context = Context(house.kernel, house.actor("MANAGER"), feed)
    live = Live(ENTITIES["Contact"], context, {"name": {"eq": "Demo One"}})
    async for page in subscriptions.pages(context, since):
        assert [one.kind for one in await live.events(page)] == [ListChangeKind.LEFT]
        break


async def test_a_technician_gets_what_is_in_the_list_and_what_is_not(house: House) -> None:
    device = await technicians_device(house)
    before = await settle_on(house)
    appointment, me = await visit(house, device)
    (row,) = await house.rows(Customer, Customer.name != "Demo 0")
    await house.run("updateCustomer", customerId=row.id, phone="1")
    other = await house.run("createCustomer", name="Demo: not theirs", phone="1")
    found = await events(house, before, {"phone": {"eq": "1"}}, _as=device.actor)
    assert [(kind, id) for kind, id, _ in found] == [("CHANGED", str(row.id))]
    place = found[-1][2]
    await house.run("unassignTechnician", appointmentId=appointment, technicianId=me)
    found = await events(house, place, {"phone": {"eq": "1"}}, _as=device.actor)
    assert [(kind, id) for kind, id, _ in found] == [("LEFT", str(row.id))]
    assert str(other.id) not in str(found)


@pytest.mark.prove_on("postgresql", "The same on the other database.")
async def test_a_filter_on_what_one_may_not_read_is_refused(house: House) -> None:
    async def refusal(document: str, role: str) -> str:
        found = await asyncio.wait_for(anext(aiter_of(house, document, role)), 5)
        (error,) = found.errors
        return str(error.message)

    text = 'subscription {customerChanges(filter: {notes: {eq: "x"}}) {kind}}'
    assert await refusal(text, "CUSTOMER_PORTAL") == "You may not read notes."
    text = 'subscription {customerChanges(filter: {or: [{sites: {some: {name: {eq: "x"}}}}]}) {kind}}'
    assert "only: remove sites" in await refusal(text, "MANAGER")


async def aiter_of(house: House, document: str, role: str) -> Any:
    from tournee.api.schema import schema

    feed = Feed(house.database, tuple(ENTITIES.values()))
    context = Context(house.kernel, house.actor(role), feed)
    async for one in await schema().stream(document, context_value=context):
        yield one
