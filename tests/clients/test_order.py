"""Requests that cross: late answers, two pushes at once, waiting operations in several requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx2
import pytest

from tests.clients.fake import FakeServer
from tournee_client import Device, Offline, ProtocolError, Store
from tournee_client import push as pushing
from tournee_client.testing import Fault, FlakyTransport
from tournee_client.wire import Answer, Outcome

Meanwhile = Callable[[], Awaitable[object]]


class LateAnswers(httpx2.AsyncBaseTransport):
    """Delivers the answer to a push after `meanwhile` has run."""

    def __init__(self, server: FakeServer, meanwhile: Meanwhile) -> None:
        self.server = server
        self.meanwhile = meanwhile

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self.server.handle_async_request(request)
        if request.url.path == "/sync/push":
            await self.meanwhile()
        return response


async def test_a_late_answer_does_not_overwrite_newer_pulled_rows(
    device: Device, server: FakeServer, network: FlakyTransport
) -> None:
    server.write("Customer", "c", {"phone": "old"})
    await device.sync()
    await device.do("updateCustomer", {"customerId": "c", "phone": "mine"})

    async def meanwhile() -> None:
        server.write("Customer", "c", {"phone": "theirs"})
        await device.pull()

    network.inner = LateAnswers(server, meanwhile)
    await device.push()
    assert device.store.server_row("Customer", "c") == {"id": "c", "phone": "theirs"}
    await device.pull()
    assert device.get("Customer", "c") == {"id": "c", "phone": "theirs"}


@pytest.mark.parametrize("fate", [{"phone": "theirs"}, None], ids=["changed", "removed"])
async def test_an_answer_between_two_pages_does_not_undo_the_first_page(
    device: Device, server: FakeServer, network: FlakyTransport, fate: dict[str, str] | None
) -> None:
    server.write("Customer", "c", {"phone": "old"})
    await device.sync()
    await device.do("updateCustomer", {"customerId": "c", "phone": "mine"})

    async def meanwhile() -> None:
        server.write("Customer", "c", fate)
        server.write("Customer", "other", {})
        server.page = 1
        # The first page arrives, the second does not.
        network.plan = iter([Fault.DELIVER, Fault.DROP])
        with pytest.raises(Offline):
            await device.pull()

    network.inner = LateAnswers(server, meanwhile)
    await device.push()
    await device.pull()
    assert device.store.server_row("Customer", "c") == (None if fate is None else {"id": "c", **fate})
    assert device.get("Customer", "c") == (None if fate is None else {"id": "c", **fate})


async def test_two_pushes_at_once_send_everything_once(
    device: Device, server: FakeServer, network: FlakyTransport
) -> None:
    at_once, most = 0, 0

    class Counting(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            for _ in range(5):
                await asyncio.sleep(0)
            response = await server.handle_async_request(request)
            at_once -= 1
            return response

    network.inner = Counting()
    done = [await device.do("createCustomer", {"id": str(place)}) for place in range(3)]
    first, second = await asyncio.gather(device.push(), device.push())
    assert [outcome.id for outcome in [*first, *second]] == done
    assert [[operation["id"] for operation in push] for push in server.pushes] == [done]
    assert most == 1


async def test_all_parked_operations_are_asked_about_across_several_requests(
    device: Device, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "BATCH", 2)
    server.missing = {"s"}
    done = [await device.do("createAsset", {"id": str(place), "siteId": "s"}) for place in range(5)]
    await device.sync()
    assert len(device.pending()) == 5
    server.pushes.clear()
    await device.sync()
    asked = [[operation["id"] for operation in push] for push in server.pushes]
    assert asked == [done[:2], done[2:4], done[4:]]
    server.missing = set()
    await device.sync()
    assert device.pending() == []
    assert [applied["id"] for applied in server.applied] == done


async def test_a_resync_within_the_same_epoch_resends_nothing(
    device: Device, server: FakeServer, store: Store
) -> None:
    """A server that reports a loss but keeps the epoch contradicts itself."""
    server.history = "first"
    await device.do("createCustomer", {"id": "1"})
    await device.sync()
    confused = {"outcomes": [], "checkpoint": 1, "epoch": "first", "resync": True}
    server.answers = [httpx2.Response(200, json=confused)]
    await device.do("createCustomer", {"id": "2"})
    store.wonder()
    with pytest.raises(ProtocolError):
        await device.push()
    assert [operation.input["id"] for operation in device.pending()] == ["2"]
    await device.sync()
    assert [operation["input"]["id"] for operation in server.applied] == ["1", "2"]


async def test_surrendered_work_is_resent_after_history_was_lost(device: Device, store: Store) -> None:
    """A repetition is recognised; work left out would be lost, as the device erases its copy."""
    done = await device.do("createCustomer", {"id": "1"})
    batch = device.pending()
    store.settle(batch, Answer((Outcome(done, "surrendered"),), 1, 0, "first"))
    store.heard(Answer((), 1, 0, "first"), "2000", "3000")
    assert device.pending() == []
    store.heard(Answer((), 1, 0, "second", resync=True), "2000", "3000")
    assert [operation.id for operation in device.pending()] == [done]
