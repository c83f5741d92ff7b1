"""Many subscribers of one organisation: one read of a commit serves them all, and slow ones lose nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from sqlalchemy import delete, update
from strawberry.http.exceptions import WebSocketDisconnected

from tests.support.house import House
from tests.support.serving import Door, served
from tests.support.sockets import change, connected, settle, subscribe
from tournee import answers
from tournee.api.app import graphql_app
from tournee.api.http.streams import FRAMINGS, Stream
from tournee.api.requests import EVENTS
from tournee.api.sockets import TextAdapter
from tournee.auth.roles import Role
from tournee.catalogue import ENTITIES
from tournee.engine.lanes import Lane
from tournee.engine.tail import Tail
from tournee.kernel.log import Change, Head
from tournee.settings import Settings
from tournee.sync.http.wake import Wake
from tournee.sync.pull import logged
from tournee.sync.pull.feed import Feed
from tournee.sync.pull.logged import Logged
from tournee.sync.pull.position import read_position


def feed_of(house: House, tail: Tail) -> Feed:
    return Feed(house.database, tuple(ENTITIES.values()), tail)


@pytest.mark.slow("Six sockets listen.")
@pytest.mark.prove_on("postgresql", "The same on the other database.")
async def test_one_read_of_a_commit_serves_every_subscriber(
    house: House, tail: Tail, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    real = logged.entries_after

    async def counted(*arguments: Any) -> Any:
        reads.append(arguments)
        return await real(*arguments)

    monkeypatch.setattr(logged, "entries_after", counted)
    monkeypatch.setattr("tournee.api.subscriptions.entries_after", counted)
    wake = Wake(house.database, tail.heads, tail.now)
    await wake.start()
    app = Door(house, graphql_app(house.kernel, Settings(), wake, feed_of(house, tail)))
    app.tokens = {"manager": house.actor("MANAGER"), "auditor": house.actor("AUDITOR")}
    await house.run("createCustomer", name="Demo 0")
    since = await settle(house)
    async with served(app) as address, AsyncExitStack() as stack:
        opened = [
            await stack.enter_async_context(connected(address, token))
            for token in app.tokens
            for _ in range(3)
        ]
        for socket in opened:
            await subscribe(socket, since=since)
        await house.run("createCustomer", name="Demo 1")
        for socket in opened:
            assert (await change(socket))["record"]["name"] == "Demo 1"
        reads.clear()
        for n in range(2, 4):
            # The first is not for auditors to read.
            await house.account(Role.DISPATCHER)
            await house.run("createCustomer", name=f"Demo {n}")
            for place, socket in enumerate(opened):
                if place < 3:
                    assert (await change(socket))["entity"] == "Account"
                assert (await change(socket))["record"]["name"] == f"Demo {n}"
        # One for each commit, or fewer.
        assert len(reads) <= 4
    await wake.stop()


async def test_a_page_in_memory_is_the_log(house: House, tail: Tail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logged, "MOST_ENTRIES", 4)
    customer = await house.run("createCustomer", name="Demo")
    first = read_position(await settle(house))
    pages = Logged(house.database, tail.heads)
    assert await pages.after(house.organisation_id, first) == ([], first)
    seen, place = [], first
    for n in range(12):
        await house.run("updateCustomer", customerId=customer.id, phone=f"{n}")
        if n % 3 == 0:
            found = await pages.after(house.organisation_id, place)
            assert found is not None
            seen += [one.seq for one in found[0]]
            place = found[1]
    assert seen == [change.seq for change in await house.changes(customer.id)][1:11]
    # What memory has forgotten, only the database knows.
    assert await pages.after(house.organisation_id, first) is None


async def test_a_history_that_was_lost_is_not_served_from_memory(house: House, tail: Tail) -> None:
    customer = await house.run("createCustomer", name="Demo")
    pages = Logged(house.database, tail.heads)
    place = read_position(await settle(house))
    assert await pages.after(house.organisation_id, place) is not None
    await house.run("updateCustomer", customerId=customer.id, phone="lost")
    found = await pages.after(house.organisation_id, place)
    assert found is not None
    lost = found[1]
    async with house.writing() as session:
        await session.execute(delete(Change).where(Change.seq == lost.seq))
        await session.execute(update(Head).values(seq=lost.seq - 1))
        await session.commit()
    assert await pages.after(house.organisation_id, lost) is None
    await house.run("updateCustomer", customerId=customer.id, phone="other")
    assert await pages.after(house.organisation_id, lost) is None


class Stuck:
    """A socket whose client reads nothing."""

    def __init__(self) -> None:
        self.closed: list[tuple[int, str]] = []

    async def send_text(self, _text: str) -> None:
        await asyncio.Event().wait()

    async def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


async def test_a_slow_reader_is_closed_so_that_it_resumes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PATIENCE_SECONDS", 0.05)
    socket = Stuck()
    adapter = TextAdapter(None, None, socket)  # type: ignore[arg-type]
    with pytest.raises(WebSocketDisconnected):
        await adapter.send_json({"type": "next"})
    assert socket.closed == [(1013, "SLOW_READER; resume from your last cursor")]


async def test_a_slow_reader_of_an_event_stream_frees_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PATIENCE_SECONDS", 0.05)
    lane = Lane(running=1, waiting=0, each=1)

    async def events() -> AsyncIterator[bytes]:
        while True:
            yield b"event: next\n\n"

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
    async with asyncio.timeout(5):
        await Stream(FRAMINGS[EVENTS], events(), [lane.turn(None)])(scope, receive, send)
    assert not lane.is_full
