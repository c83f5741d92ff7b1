import httpx2
import pytest

from tests.clients.fake import FakeServer
from tournee_client import Device, Effect, Offline, ProtocolError, Store, new_id
from tournee_client.testing import Fault, FlakyTransport


async def test_offline_work_is_numbered_and_visible(device: Device, network: FlakyTransport):
    network.plan = iter([Fault.DROP] * 100)
    id = new_id()
    await device.do("createCustomer", {"id": id, "name": "Demo Bakery"})
    await device.do("updateCustomer", {"customerId": id, "phone": "1"})
    assert device.get("Customer", id) == {"id": id, "name": "Demo Bakery", "phone": "1"}
    assert device.all("Customer", phone="1") == [device.get("Customer", id)]
    assert [operation.number for operation in device.pending()] == [1, 2]
    with pytest.raises(Offline):
        await device.push()
    assert len(device.pending()) == 2


async def test_a_lost_answer_loses_and_doubles_nothing(
    device: Device, server: FakeServer, network: FlakyTransport
):
    operation = await device.do("createCustomer", {"id": new_id(), "name": "Demo Bakery"})
    network.plan = iter([Fault.LOSE])
    synced = await device.sync()
    assert len(server.pushes) == 2
    assert [applied["id"] for applied in server.applied] == [operation]
    assert [outcome.status for outcome in synced.outcomes] == ["duplicate"]
    assert device.pending() == []


async def test_a_request_delivered_twice_applies_once(
    device: Device, server: FakeServer, network: FlakyTransport
):
    id = new_id()
    await device.do("createCustomer", {"id": id, "name": "Demo Bakery"})
    network.plan = iter([Fault.REPEAT])
    await device.sync()
    assert len(server.applied) == 1
    assert device.get("Customer", id) == {"id": id, "name": "Demo Bakery"}


async def test_an_answer_cut_in_half_changes_nothing(device: Device, network: FlakyTransport):
    await device.do("createCustomer", {"id": new_id()})
    network.plan = iter([Fault.CUT])
    with pytest.raises(Offline):
        await device.push()
    assert len(device.pending()) == 1


async def test_a_rejected_operation_loses_its_effect_and_stays_in_rejections(
    device: Device, server: FakeServer
):
    server.write("Customer", "c", {"name": "Demo Bakery"})
    await device.sync()
    await device.do("refuseCustomer", {"id": "c"}, effects=[Effect("Customer", "c", {"name": "Mine"})])
    assert device.get("Customer", "c") == {"id": "c", "name": "Mine"}
    await device.push()
    assert device.get("Customer", "c") == {"id": "c", "name": "Demo Bakery"}
    (rejection,) = device.rejections()
    assert (rejection.outcome.code, rejection.outcome.fields) == ("FORBIDDEN", ("id",))
    assert rejection.operation.input == {"id": "c"}


async def test_a_rejection_with_a_lost_answer_still_arrives(device: Device, network: FlakyTransport):
    await device.do("refuseCustomer", {"id": "c"})
    network.plan = iter([Fault.LOSE])
    await device.sync()
    assert [rejection.outcome.status for rejection in device.rejections()] == ["duplicate"]


async def test_a_parked_operation_stays_in_the_outbox_until_decided(device: Device, server: FakeServer):
    server.missing = {"s"}
    operation = await device.do("createAsset", {"id": "a", "siteId": "s"})
    later = await device.do("createCustomer", {"id": "c"})
    await device.sync()
    assert [(kept.id, kept.state) for kept in device.pending()] == [(operation, "parked")]
    assert device.get("Asset", "a") == {"id": "a", "siteId": "s"}
    assert (later_outcome := device.outcome(later)) is not None
    assert later_outcome.status == "applied"
    server.missing = set()
    await device.sync()
    assert device.pending() == []
    assert [applied["id"] for applied in server.applied] == [later, operation]


async def test_a_unit_is_never_split_between_requests(
    device: Device, server: FakeServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tournee_client.push.BATCH", 3)
    await device.do("createCustomer", {"id": "1"})
    async with device.unit() as unit:
        for id in ("2", "3", "4", "5"):
            await device.do("createCustomer", {"id": id})
        assert len(device.pending()) == 1
    await device.do("createCustomer", {"id": "6"})
    await device.push()
    assert [[operation["number"] for operation in push] for push in server.pushes] == [[1], [2, 3, 4, 5], [6]]
    assert {operation.get("unit") for operation in server.pushes[1]} == {unit}


async def test_a_unit_whose_block_raises_records_nothing(device: Device):
    async def fail() -> None:
        async with device.unit():
            await device.do("createCustomer", {"id": "1"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert device.pending() == []
    assert device.all("Customer") == []


async def test_one_operation_that_is_too_large_does_not_block_the_others(device: Device, server: FakeServer):
    operations = [await device.do("createCustomer", {"id": str(number)}) for number in range(5)]
    server.too_large = {operations[2]}
    await device.sync()
    assert [applied["id"] for applied in server.applied] == operations
    assert [server.row("Customer", str(number)) for number in range(5)] == [{}, {}, None, {}, {}]
    assert server.numbers == {1, 2, 3, 4, 5}, "a gap would make the server wait for ever"
    (rejection,) = device.rejections()
    assert (rejection.operation.id, rejection.outcome.code) == (operations[2], "TOO_LARGE")


async def test_accepted_work_stays_visible_until_it_is_pulled(device: Device, server: FakeServer):
    for id in ("1", "2"):
        server.write("Visit", id, {"state": "OPEN"})
    await device.sync()
    closed = [Effect("Visit", id, {"state": "CLOSED"}) for id in ("1", "2")]
    await device.do("closeBoth", {"ids": ["1", "2"]}, effects=closed)
    await device.push()
    assert device.pending() == []
    assert [visit["state"] for visit in device.all("Visit")] == ["CLOSED", "CLOSED"]
    server.write("Visit", "2", {"state": "REOPENED"})
    await device.pull()
    assert [visit["state"] for visit in device.all("Visit")] == ["CLOSED", "REOPENED"]


async def test_effects_are_replayed_over_the_latest_server_row(device: Device, server: FakeServer):
    server.write("Customer", "c", {"name": "Demo Bakery", "phone": "1"})
    await device.sync()
    await device.do("updateCustomer", {"customerId": "c", "phone": "2"})
    server.write("Customer", "c", {"name": "Demo Bakery Ltd", "phone": "3"})
    await device.pull()
    assert device.get("Customer", "c") == {"id": "c", "name": "Demo Bakery Ltd", "phone": "2"}
    server.write("Customer", "c", None)
    await device.pull()
    assert device.get("Customer", "c") is None


async def test_the_base_is_the_last_pull_not_the_last_push(device: Device, server: FakeServer):
    server.write("Customer", "c", {})
    await device.sync()
    server.write("Customer", "c", {"phone": "theirs"})
    await device.do("createCustomer", {"id": "mine"})
    await device.push()
    await device.do("updateCustomer", {"customerId": "c", "phone": "ours"})
    assert device.pending()[0].base == 1


async def test_an_old_outcome_does_not_bring_back_a_removed_row(
    device: Device, server: FakeServer, network: FlakyTransport
):
    await device.do("createCustomer", {"id": "c"})
    network.plan = iter([Fault.LOSE])
    with pytest.raises(Offline):
        await device.push()
    server.write("Customer", "c", None)
    await device.pull()
    await device.push()
    assert device.get("Customer", "c") is not None, "accepted work stays visible until it is pulled"
    await device.pull()
    assert device.get("Customer", "c") is None
    assert device.store.server_row("Customer", "c") is None


async def test_a_restored_store_continues_from_the_servers_number(device: Device, store: Store):
    await device.do("createCustomer", {"id": "1"})
    await device.do("createCustomer", {"id": "2"})
    await device.push()
    store.database.put("next_number", "2")
    await device.do("createCustomer", {"id": "3"})
    store.database.execute("UPDATE outbox SET number = 9")
    await device.push()
    await device.do("createCustomer", {"id": "4"})
    assert device.pending()[0].number == 10


async def test_an_answer_without_outcomes_is_a_protocol_error(device: Device, network: FlakyTransport):
    class Mute(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, json={"outcomes": [], "checkpoint": 0, "nextNumber": 1})

    await device.do("createCustomer", {"id": "1"})
    network.inner = Mute()
    with pytest.raises(ProtocolError):
        await device.push()
    assert len(device.pending()) == 1
