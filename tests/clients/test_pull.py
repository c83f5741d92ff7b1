from collections.abc import Callable
from itertools import repeat

import pytest

from tests.clients.fake import FakeServer
from tournee_client import Change, Device, Offline, Page, Store
from tournee_client.testing import Fault, FlakyTransport
from tournee_client.wire import Answer, Outcome


async def test_an_interrupted_pull_resumes_where_it_was(
    device: Device, server: FakeServer, network: FlakyTransport
):
    server.page = 2
    for number in range(5):
        server.write("Customer", str(number), {"n": number})
    network.plan = iter([Fault.DELIVER, Fault.LOSE])
    with pytest.raises(Offline):
        await device.pull()
    assert len(device.all("Customer")) == 2
    await device.pull()
    assert [customer["n"] for customer in device.all("Customer")] == [0, 1, 2, 3, 4]
    assert server.pulls == [None, "1:2:5", "1:2:5", "1:4:5"]


async def test_a_resync_replaces_the_copy_only_when_the_new_one_is_complete(
    device: Device,
    store: Store,
    server: FakeServer,
    network: FlakyTransport,
    open_device: Callable[[Store], Device],
):
    for id in ("kept", "left", "moved", "renamed"):
        server.write("Customer", id, {"name": id})
    await device.sync()
    await device.do("updateCustomer", {"customerId": "kept", "phone": "1"})
    server.write("Customer", "left", None)
    server.write("Customer", "renamed", {"name": "new"})
    server.restart_feed()
    server.page = 1
    network.plan = iter([Fault.DELIVER, Fault.DELIVER, Fault.DROP])
    with pytest.raises(Offline):
        await device.pull()
    assert {customer["name"] for customer in device.all("Customer")} == {"kept", "left", "moved", "renamed"}
    again = open_device(store)
    changes = await again.pull()
    assert {(change.id, change.removed) for change in changes} == {("left", True), ("renamed", False)}
    assert {customer["name"] for customer in again.all("Customer")} == {"kept", "moved", "new"}
    assert len(again.pending()) == 1
    assert again.get("Customer", "kept") == {"id": "kept", "name": "kept", "phone": "1"}
    assert server.pulls.count(None) == 2, "the new copy resumed where it was interrupted"


async def test_a_resync_during_a_resync_restarts_it(
    device: Device, server: FakeServer, network: FlakyTransport
):
    server.page = 1
    for id in ("1", "2", "3"):
        server.write("Customer", id, {})
    await device.sync()
    server.restart_feed()
    network.plan = iter([Fault.DELIVER, Fault.DELIVER, Fault.DROP])
    with pytest.raises(Offline):
        await device.pull()
    server.restart_feed()
    server.write("Customer", "1", None)
    await device.pull()
    assert [customer["id"] for customer in device.all("Customer")] == ["2", "3"]


async def test_a_push_mark_is_kept_until_a_page_requested_with_it(device: Device, store: Store) -> None:
    """A stream's pages, and a pull already running, may not include that push."""
    done = await device.do("createCustomer", {"id": "c"})
    batch = device.pending()
    store.settle(batch, Answer((Outcome(done, "applied"),), 1, 2, mark="1.5"))
    whole = Page((), "1:1", more=False, resync=False)
    store.follow(whole)
    store.apply(whole)
    assert store.pushed_mark == "1.5"
    store.apply(whole, mark="1.5")
    assert (store.pushed_mark, store.answered_mark) == (None, "1.5")
    store.settle(batch, Answer((), 1, 2))
    assert store.answered_mark == "1.5"


async def test_a_row_that_came_only_with_an_outcome_is_replaced_by_the_first_pull(
    device: Device, server: FakeServer
):
    await device.do("createCustomer", {"id": "c"})
    await device.push()
    server.write("Customer", "c", None)
    await device.pull()
    assert device.all("Customer") == []


async def test_work_recorded_during_a_pull_is_sent_by_the_same_sync(
    device: Device, server: FakeServer, network: FlakyTransport
):
    async def work() -> None:
        await device.do("createCustomer", {"id": "late"})

    network._sleep = work
    network.plan = iter([Fault.DELAY])
    await device.sync()
    assert device.pending() == []
    assert server.row("Customer", "late") == {}


async def test_a_sync_retries_a_busy_server(device: Device, network: FlakyTransport, waits: list[float]):
    network.plan = iter([Fault.BUSY, Fault.DROP, Fault.DROP])
    await device.sync()
    assert waits == [1.0 + 0.5, 1.0, 2.0]


async def test_an_offline_device_verifies_nothing_and_does_not_retry(
    device: Device, network: FlakyTransport, waits: list[float]
):
    network.plan = repeat(Fault.DROP)
    with pytest.raises(Offline):
        await device.verify()
    assert waits == []


async def test_a_sync_gives_up_after_its_last_attempt(
    device: Device, network: FlakyTransport, waits: list[float]
):
    network.plan = iter([Fault.DROP] * 100)
    with pytest.raises(Offline):
        await device.sync()
    assert len(waits) == 5


async def test_a_page_that_cannot_be_stored_is_stored_in_no_part(
    device: Device, server: FakeServer, store: Store
):
    await device.sync()
    unstorable = (Change(1, "Customer", "1", {}), Change(2, "Customer", "2", {"n": object()}))
    with pytest.raises(TypeError):
        store.apply(Page(unstorable, "1:2:2", more=False, resync=False))
    assert (device.all("Customer"), store.cursor) == ([], "1:0:0")
