from contextlib import aclosing

import pytest

from tests.clients.fake import FakeServer
from tournee_client import Device, Offline, Revoked, Store
from tournee_client.testing import Fault, FlakyTransport


async def test_changes_are_stored_before_they_are_yielded(device: Device, server: FakeServer, store: Store):
    await device.sync()
    async with aclosing(device.stream()) as stream:
        server.write("Customer", "c", {"name": "Demo Bakery"})
        server.announce(store.cursor)
        (change,) = await anext(stream)
        assert change.id == "c"
        assert device.get("Customer", "c") == {"id": "c", "name": "Demo Bakery"}
        assert store.cursor == "1:1:1"


async def test_a_broken_stream_resumes_after_the_last_event(device: Device, server: FakeServer, store: Store):
    await device.sync()
    async with aclosing(device.stream()) as stream:
        server.write("Customer", "1", {})
        server.announce(store.cursor)
        await anext(stream)
        server.events.put_nowait(None)
        server.expire()
        server.write("Customer", "2", {})
        server.announce(store.cursor)
        await anext(stream)
    assert server.last_event_ids == ["1:0:0", "1:1:1"]
    assert len(device.all("Customer")) == 2


async def test_a_resync_on_the_stream_fetches_a_new_copy(device: Device, server: FakeServer, store: Store):
    server.write("Customer", "old", {})
    await device.sync()
    server.restart_feed()
    server.write("Customer", "old", None)
    server.write("Customer", "new", {})
    server.announce(store.cursor)
    server.pulls.clear()
    async with aclosing(device.stream()) as stream:
        changes = await anext(stream)
    assert {(change.id, change.removed) for change in changes} == {("old", True), ("new", False)}
    assert [customer["id"] for customer in device.all("Customer")] == ["new"]
    assert server.pulls == [None], "the event has said that the old cursor is invalid"


async def test_a_resync_on_the_stream_continues_a_copy_that_is_being_fetched(
    device: Device, server: FakeServer, store: Store, network: FlakyTransport
):
    server.write("Customer", "1", {})
    await device.sync()
    async with aclosing(device.stream()) as stream:
        server.write("Customer", "2", {})
        server.announce(store.cursor)
        await anext(stream)
        old, server.page = store.cursor, 2
        server.restart_feed()
        server.write("Customer", "3", {})
        network.plan = iter([Fault.DELIVER, Fault.DELIVER, Fault.DROP])
        with pytest.raises(Offline):
            await device.pull()
        assert store.renewing
        server.announce(old)
        server.pulls.clear()
        assert [change.id for change in await anext(stream)] == ["3"]
    assert server.pulls == ["2:2:3"]


async def test_a_device_without_a_copy_pulls_before_it_listens(device: Device, server: FakeServer):
    server.write("Customer", "c", {})
    async with aclosing(device.stream()) as stream:
        (change,) = await anext(stream)
    assert change.id == "c"
    assert server.last_event_ids == []


async def test_a_stream_ends_when_the_device_is_revoked(device: Device, server: FakeServer):
    await device.sync()
    server.revoked = True
    with pytest.raises(Revoked):
        await anext(device.stream())


async def test_a_device_pulls_only_after_an_event_with_more(device: Device, server: FakeServer, store: Store):
    await device.sync()
    asked = len(server.pulls)
    async with aclosing(device.stream()) as stream:
        server.write("Customer", "1", {})
        server.announce(store.cursor)
        assert [change.id for change in await anext(stream)] == ["1"]
        assert len(server.pulls) == asked + 1  # the event itself, which the server builds as a page
        server.page = 1
        server.write("Customer", "2", {})
        server.write("Customer", "3", {})
        server.announce(store.cursor)
        assert [change.id for change in await anext(stream)] == ["2", "3"]


async def test_the_pause_doubles_with_each_broken_stream(
    device: Device, server: FakeServer, store: Store, waits: list[float]
):
    await device.sync()
    waits.clear()
    for _ in range(3):
        server.events.put_nowait(None)
    server.write("Customer", "1", {})
    server.announce(store.cursor)
    async with aclosing(device.stream()) as stream:
        await anext(stream)
    first, second, third = waits
    assert (second, third) == (2 * first, 4 * first)
