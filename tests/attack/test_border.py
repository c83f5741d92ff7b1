"""Sync never reveals another organisation's records."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
import pytest_asyncio
from sqlalchemy import select

from tests.support.demo import demo_house, own_id
from tests.support.device import TestDevice
from tests.support.house import House
from tests.support.inputs import entity_of, is_id, plausible, required, value
from tests.support.serving import door, served
from tests.support.sockets import change, connected, settle, subscribe, waking
from tournee.api.schema import schema
from tournee.auth.roles import Role
from tournee.catalogue import COMMANDS, ENTITIES
from tournee.engine.database import Database
from tournee.engine.tail import Tail
from tournee.kernel.actor import Actor
from tournee.kernel.demo import demo_id
from tournee.kernel.entity import new_id
from tournee.kernel.log import Record
from tournee.sync.http.door import Door
from tournee.sync.http.stream import Stream
from tournee.sync.http.wake import Wake
from tournee.sync.messages import Outcome
from tournee.sync.pull.cursor import CursorCodec
from tournee.sync.pull.feed import Feed, records_now

_HOUSES: dict[str, tuple[House, House]] = {}
ROLES = (Role.MANAGER, Role.DISPATCHER, Role.AUDITOR, Role.REPORTING, Role.TECHNICIAN, Role.CUSTOMER_PORTAL)


@pytest_asyncio.fixture
async def houses(database: Database) -> AsyncIterator[tuple[House, House]]:
    """Return two organisations with rows of every entity; made once for the module."""
    if database.url not in _HOUSES:
        pair = [await complete(await demo_house(await House(database).found())) for _ in range(2)]
        _HOUSES[database.url] = (pair[0], pair[1])
    for house in _HOUSES[database.url]:
        house.database = database
        house.kernel = dataclasses.replace(house.kernel, database=database)
    yield _HOUSES[database.url]


async def complete(house: House) -> House:
    """Add rows of the entities that the demo lacks."""
    technician = house.actor(Role.TECHNICIAN)
    await house.run("enrolDevice", technician, id=new_id(), name="Demo tablet")
    customer = own_id(house, demo_id("customer/1"))
    device = TestDevice(house, Role.MANAGER)
    await device.pull()
    await house.run("updateCustomer", customerId=customer, phone="office")
    assert (await device.do("updateCustomer", customerId=customer, phone="device")).conflict
    if "Interaction" not in await kinds(house):
        call = {
            "channel": "PHONE",
            "direction": "INBOUND",
            "subject": "Demo",
            "at": "2026-11-23T09:00:00Z",
        }
        await house.run("recordInteraction", customerId=customer, **call)
    if "Expectation" not in await kinds(house):
        await house.run("createExpectation", **{**minimal("createExpectation"), "customerId": customer})
    return house


def minimal(name: str) -> dict[str, Any]:
    kind: Any = schema()._schema.type_map[f"{COMMANDS[name].input.__name__}Input"]
    return plausible(kind)


async def kinds(house: House) -> dict[str, UUID]:
    """Return one live record of each entity."""
    async with house.reading() as session:
        own = (Record.organisation_id == house.organisation_id, Record.deleted.is_(False))
        rows = await session.execute(select(Record.entity, Record.id).where(*own).order_by(Record.id))
        return dict(iter([(row.entity, row.id) for row in rows]))


async def ids(house: House) -> set[UUID]:
    async with house.reading() as session:
        own = Record.organisation_id == house.organisation_id
        return set(await session.scalars(select(Record.id).where(own)))


@pytest.mark.slow("It is the first to create two full organisations.")
async def test_both_organisations_have_rows_of_every_entity(houses: tuple[House, House]) -> None:
    for house in houses:
        assert set(await kinds(house)) == set(ENTITIES)


@pytest.mark.slow("Every role pulls everything.")
async def test_no_pull_returns_another_organisations_rows(houses: tuple[House, House]) -> None:
    ours, theirs = houses
    own, foreign = await ids(ours), await ids(theirs)
    assert own
    assert foreign
    assert not own & foreign
    for role in ROLES:
        device = TestDevice(ours, role)
        await device.pull(limit=7)
        text = str(device.rows)
        assert device.rows
        assert device.rows.keys() <= own
        assert str(theirs.organisation_id) not in text
        assert not [id for id in foreign if str(id) in text], role
        before = dict(device.rows)
        await theirs.run("createCustomer", name=f"Theirs {role}")
        customer = own_id(theirs, demo_id("customer/1"))
        await theirs.run("updateCustomer", customerId=customer, notes=f"Theirs {role}")
        await device.pull()
        assert device.rows == before


async def first_event(
    house: House, tail: Tail, actor: Actor, cursor: str | None = None
) -> list[dict[str, Any]]:
    """Return the changes in the stream's first event."""
    feed = Feed(house.database, tuple(ENTITIES.values()), tail)
    door = Door(house.database, tail, None)
    cursors, wake = CursorCodec(lambda: (b"k" * 32,)), Wake(house.database)
    events = Stream(door, feed, cursors, wake, feed.lanes.streams).events(actor, cursor)
    try:
        async for event in events:
            if event.startswith("event: changes"):
                data = event.partition("data: ")[2]
                found: list[dict[str, Any]] = orjson.loads(data)["changes"]
                return found
    finally:
        await events.aclose()  # type: ignore[attr-defined]
    raise AssertionError("The stream ended without an event.")


async def test_no_stream_sends_another_organisations_rows(houses: tuple[House, House], tail: Tail) -> None:
    ours, theirs = houses
    own, foreign = await ids(ours), await ids(theirs)
    for role in ROLES:
        changes = await first_event(ours, tail, ours.actor(role))
        assert changes
        assert {UUID(change["id"]) for change in changes} <= own
        text = str(changes)
        assert not [id for id in foreign if str(id) in text], role


async def test_an_outcome_returns_no_record_of_another_organisation(houses: tuple[House, House]) -> None:
    ours, theirs = houses
    foreign = list(await ids(theirs))
    for role in ROLES:
        assert await records_now(ours.database, ours.actor(role), foreign) == {}


def unlike(theirs: UUID) -> UUID:
    """Return an unknown id of the same form; the server waits for ids that a device could have made."""
    return new_id() if theirs.version == 7 else uuid4()


def told(outcome: Outcome, id: UUID) -> tuple[Any, ...]:
    """Return an outcome as a device receives it, without the id that was sent."""
    body = orjson.loads(outcome.message_body({}))
    body.pop("id")
    # Each inbox entry has a new id, too.
    body["conflict"] = body["conflict"] is not None
    # Each record made by an accepted operation has a new number and id.
    if body["status"] == "applied":
        body.pop("seq")
        body["record"].pop("id")
    text = orjson.dumps(body).decode()
    return (text.replace(str(id), "ID"),)


@pytest.mark.slow("Every command, with every id that it takes.")
@pytest.mark.prove_on("postgresql", "The same commands on the other database.")
async def test_every_offline_command_answers_another_organisations_id_like_an_unknown_one(
    houses: tuple[House, House],
) -> None:
    ours, theirs = houses
    own, foreign = await kinds(ours), await kinds(theirs)
    asked = not_found = 0
    for role in (Role.MANAGER, Role.TECHNICIAN):
        device = TestDevice(ours, role)
        await device.pull()
        for command in COMMANDS.values():
            if not command.offline:
                continue
            for name, annotation, target in references(command):
                answers = []
                for id in (foreign[target], unlike(foreign[target])):
                    given = {**filled(command, own), name: value(annotation, id)}
                    answers.append(told(await device.do(command.name, **given), id))
                assert "INTERNAL" not in answers[0][0], (command.name, name, answers[0])
                assert answers[0] == answers[1], (role, command.name, name)
                asked += 1
                not_found += '"NOT_FOUND"' in answers[0][0]
    assert asked > 200
    assert not_found > 40, (asked, not_found)


async def test_a_new_row_may_reuse_another_organisations_id_without_revealing_it(
    houses: tuple[House, House],
) -> None:
    """The answer equals that for an unused id, and the other organisation's row stays unchanged."""
    ours, theirs = houses
    device = TestDevice(ours, Role.MANAGER)
    taken = (await theirs.run("createCustomer", name="Theirs")).id
    before = await theirs.changes(taken)
    outcome = await device.do("createCustomer", id=taken, name="Ours")
    assert (outcome.status, outcome.record_id) == ("applied", taken)
    for role in (Role.MANAGER, Role.TECHNICIAN):
        other = TestDevice(theirs, role)
        await other.pull()
        assert other.rows.get(taken, {}).get("name") in ("Theirs", None)
    assert len(await theirs.changes(taken)) == len(before)


def references(command: Any) -> list[tuple[str, Any, str]]:
    """Return the inputs of a command that name a record: wire name, type and entity."""
    from tournee.kernel.fields import camel

    hints = typing.get_type_hints(command.input, include_extras=True)
    found = [(name, kind, entity_of(command, name)) for name, kind in hints.items() if is_id(kind)]
    return [(camel(name), kind, target) for name, kind, target in found if target in ENTITIES]  # type: ignore[misc]


def filled(command: Any, own: dict[str, UUID]) -> dict[str, Any]:
    """Return plausible values for every required input of a command, with our own ids."""
    from tournee.kernel.fields import camel

    hints = typing.get_type_hints(command.input, include_extras=True)
    given = {
        camel(name): value(kind, own[target])
        for name, kind in hints.items()
        if is_id(kind) and required(command, name) and (target := entity_of(command, name)) in own
    }
    return {**minimal(command.name), **given}


async def test_an_operation_id_used_in_another_organisation_is_free(houses: tuple[House, House]) -> None:
    ours, theirs = houses
    first, second = TestDevice(theirs, Role.MANAGER), TestDevice(ours, Role.MANAGER)
    second.id = first.id
    operation = first.operation("createCustomer", name="Theirs")
    assert [one.status for one in await first.push(operation)] == ["applied"]
    second.number = 1
    outcome = (await second.push({**operation, "input": {"name": "Ours"}}))[0]
    assert outcome.status == "applied"


async def test_a_subscription_sends_only_the_own_organisations_changes(houses: tuple[House, House]) -> None:
    ours, theirs = houses
    since = await settle(ours)
    await theirs.run("createCustomer", name="Theirs missed")
    async with waking(ours) as wake, served(door(ours, wake)) as address, connected(address) as socket:
        await subscribe(socket, since=since)
        await theirs.run("createCustomer", name="Theirs live")
        own = await ours.run("createCustomer", name="Ours")
        assert (await change(socket))["recordId"] == str(own.id)
