"""What must never be lost or mixed up on the device, and what it reports about itself."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.clients.fake import FakeServer
from tournee_client import Backoff, Device, Offline, Progress, ProtocolError, SignInRefused, Store, outbox
from tournee_client import push as pushing
from tournee_client.testing import Fault, FlakyTransport

Open = Callable[[Store], Device]


async def test_an_unsent_edit_stays_on_top_of_a_pulled_change(device: Device, server: FakeServer) -> None:
    server.write("Customer", "c", {"name": "Old", "phone": "1"})
    await device.sync()
    await device.do("updateCustomer", {"customerId": "c", "phone": "mine"})
    server.write("Customer", "c", {"name": "New", "phone": "theirs"})
    await device.pull()
    assert device.get("Customer", "c") == {"id": "c", "name": "New", "phone": "mine"}
    assert device.store.server_row("Customer", "c") == {"id": "c", "name": "New", "phone": "theirs"}
    await device.sync()
    assert (server.row("Customer", "c") or {})["phone"] == "mine"
    assert device.get("Customer", "c") == {"id": "c", "name": "New", "phone": "mine"}


@pytest.mark.parametrize("resync", [False, True])
async def test_an_unsent_edit_of_a_removed_row_is_still_sent(
    device: Device, server: FakeServer, resync: bool
) -> None:
    server.write("Customer", "c", {"name": "Old"})
    await device.sync()
    done = await device.do("updateCustomer", {"customerId": "c", "phone": "mine"})
    server.write("Customer", "c", None)
    if resync:
        server.restart_feed()
    await device.pull()
    assert device.get("Customer", "c") is None
    assert [operation.id for operation in device.pending()] == [done]
    await device.sync()
    assert [operation["id"] for operation in server.applied] == [done]


async def test_an_edit_shows_again_when_the_removed_row_comes_back(
    device: Device, server: FakeServer
) -> None:
    server.write("Customer", "c", {"name": "Old"})
    await device.sync()
    await device.do("updateCustomer", {"customerId": "c", "phone": "mine"})
    server.write("Customer", "c", None)
    await device.pull()
    server.write("Customer", "c", {"name": "Back"})
    await device.pull()
    assert device.get("Customer", "c") == {"id": "c", "name": "Back", "phone": "mine"}


ANSWERS = [
    httpx2.Response(401, json={"error": {"code": "UNAUTHENTICATED"}}),
    httpx2.Response(403, json={"error": {"code": "DEVICE_MISMATCH"}}),
    httpx2.Response(403, html="<h1>Forbidden</h1>"),
    httpx2.Response(404),
    httpx2.Response(429, headers={"Retry-After": "7"}),
    httpx2.Response(500),
    httpx2.Response(502, html="<h1>Bad gateway</h1>"),
    httpx2.Response(503, headers={"Retry-After": "7"}),
]


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: f"{answer.status_code}-{len(answer.content)}")
async def test_a_refused_request_keeps_the_outbox(
    device: Device, server: FakeServer, answer: httpx2.Response
) -> None:
    done = [await device.do("createCustomer", {"id": str(number)}) for number in range(3)]
    server.answers = [answer, answer]
    with pytest.raises((Offline, ProtocolError, SignInRefused)):
        await device.push()
    assert [operation.id for operation in device.pending()] == done
    server.answers = []
    await device.sync()
    assert [operation["id"] for operation in server.applied] == done


async def test_a_device_retries_later_than_retry_after(
    device: Device, server: FakeServer, waits: list[float]
) -> None:
    await device.do("createCustomer", {"id": "c"})
    server.answers = [httpx2.Response(429, headers={"Retry-After": "7"}), httpx2.Response(503)]
    await device.sync()
    assert waits == [7.0 + 0.5, 1.0]


def test_devices_with_the_same_retry_after_return_at_different_times() -> None:
    waits = {Backoff().delay(0, 7.0) for _ in range(100)}
    assert len(waits) > 90
    assert min(waits) >= 7.0


async def test_a_token_expiring_between_batches_is_renewed_and_the_rest_sent(
    device: Device, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "BATCH", 2)
    done = [await device.do("createCustomer", {"id": str(number)}) for number in range(7)]
    settle, tokens = device.store.settle, server.tokens_given

    def settled(*told: object) -> int:
        server.expire()
        return settle(*told)  # type: ignore[arg-type]

    monkeypatch.setattr(device.store, "settle", settled)
    await device.push()
    assert [operation["id"] for operation in server.applied] == done
    assert server.tokens_given == tokens + 3


def token(organisation: str, account: str) -> str:
    body = json.dumps({"org": organisation, "sub": account}).encode()
    return f"head.{base64.urlsafe_b64encode(body).decode().rstrip('=')}.signature"


class Named(FakeServer):
    """A server whose access tokens name their account."""

    account = ("organisation", "account")

    def _token(self, form: dict[str, str]) -> httpx2.Response:
        answer = super()._token(form)
        if answer.status_code != 200:
            return answer
        self.access_token = token(*self.account)
        return httpx2.Response(200, json=answer.json() | {"access_token": self.access_token})


@pytest.mark.parametrize("other", [("another", "account"), ("organisation", "another")])
async def test_another_account_of_the_same_name_cannot_take_over_a_store(
    open_device: Open, store: Store, network: FlakyTransport, other: tuple[str, str]
) -> None:
    named = Named()
    network.inner = named
    device = open_device(store)
    await device.sign_in("technician@demo.example", "demo")
    await device.do("createCustomer", {"id": "c"})
    refresh = store.database.get("refresh_token")
    named.account = other
    with pytest.raises(SignInRefused) as refused:
        await device.sign_in("technician@demo.example", "demo")
    assert refused.value.code == "other_account"
    assert store.database.get("refresh_token") == refresh
    named.account = ("organisation", "account")
    await device.sign_in("technician@demo.example", "demo")
    await device.sync()
    assert named.row("Customer", "c") == {}


async def test_another_server_receives_neither_work_nor_token(
    device: Device, store: Store, server: FakeServer, network: FlakyTransport
) -> None:
    await device.do("createCustomer", {"id": "c"})
    network.history.clear()
    other = Device("http://other.example", store, httpx2.AsyncClient(transport=network))
    for call in (other.push, other.pull, lambda: other.sign_in("technician@demo.example", "demo")):
        with pytest.raises(SignInRefused) as refused:
            await call()
        assert refused.value.code == "other_server"
    assert network.history == []
    store.move("http://other.example/")
    await other.push()
    assert server.row("Customer", "c") == {}


async def test_a_wiped_store_accepts_another_person(device: Device, store: Store) -> None:
    device.wipe()
    await device.sign_in("dispatcher@demo.example", "demo")
    await device.pull()


async def test_each_push_and_pull_reports_the_unsent_work(device: Device, server: FakeServer) -> None:
    began = datetime(2026, 11, 23, 9, 12, tzinfo=UTC)
    await device.do("createCustomer", {"id": "1"}, occurred_at=began)
    await device.do("createCustomer", {"id": "2"})
    await device.pull()
    await device.push()
    await device.pull()
    pull, push, after = server.reports
    waiting = {"length": 2, "oldestAt": "2026-11-23T09:12:00Z"}
    assert json.loads(pull["queue"]) == push["queue"] == waiting
    assert json.loads(after["queue"]) == {"length": 0}
    assert (push["app"], push["schema"]) == (pull["app"], int(pull["schema"])) == ("tournee-python/0.1", 2)


async def test_the_device_measures_its_clock_skew(store: Store, server: FakeServer) -> None:
    class Dated(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            answer = await server.handle_async_request(request)
            answer.headers["Date"] = format_datetime(datetime.now(UTC), usegmt=True)
            return answer

    ahead = timedelta(days=400)
    http = httpx2.AsyncClient(transport=Dated())
    device = Device("http://server.example", store, http, clock=lambda: datetime.now(UTC) + ahead)
    assert device.clock_skew is None
    await device.sign_in("technician@demo.example", "demo")
    await device.pull()
    assert device.clock_skew is not None
    assert abs(device.clock_skew - ahead) < timedelta(seconds=2)
    assert abs(int(server.reports[0]["clockSkew"]) - ahead.total_seconds() * 1000) < 2000


async def test_a_first_pull_reports_progress_when_the_server_sends_it(
    server: FakeServer, tmp_path: Path
) -> None:
    store, told = Store(tmp_path / "progress.db"), []
    http = httpx2.AsyncClient(transport=server)
    device = Device("http://server.example", store, http, on_progress=told.append)
    await device.sign_in("technician@demo.example", "demo")
    await device.pull()
    assert told == []
    server.progress = {"done": 3, "total": 10}
    await device.pull()
    assert told == [Progress(3, 10)]
    store.close()


async def test_work_missing_from_a_restored_backup_is_resent_before_new_work(
    device: Device, server: FakeServer, network: FlakyTransport, open_device: Open, store: Store
) -> None:
    server.history = "first"
    kept = await device.do("createCustomer", {"id": "1"})
    lost = await device.do("createCustomer", {"id": "2"})
    refused = await device.do("refuseCustomer", {"id": "3"})
    await device.sync()
    server.lose([lost, refused], history="second")
    new = await device.do("updateCustomer", {"customerId": "2", "name": "Demo"})
    network.plan = iter([Fault.DELIVER, Fault.DROP])
    with pytest.raises(Offline):
        await device.push()
    # The app restarts.
    started = open_device(store)
    assert [operation.id for operation in started.pending()] == [kept, lost, new]
    outcomes = (await started.sync()).outcomes
    assert [(outcome.id, outcome.status) for outcome in outcomes] == [
        (kept, "duplicate"),
        (lost, "applied"),
        (new, "applied"),
    ]
    assert [operation["id"] for operation in server.applied] == [kept, lost, new]
    pushes = len(server.pushes)
    await started.do("createCustomer", {"id": "5"})
    await started.sync()
    assert [len(operations) for operations in server.pushes[pushes:]] == [1], "only once"


async def test_a_waiting_operation_keeps_its_place_when_resent(device: Device, server: FakeServer) -> None:
    server.history, server.missing = "first", {"away"}
    first = await device.do("createCustomer", {"id": "1"})
    waits = await device.do("createCustomer", {"id": "2", "siteId": "away"})
    last = await device.do("createCustomer", {"id": "3"})
    await device.push()
    server.lose([first, last], history="second")
    server.missing = set()
    await device.push()
    assert [operation["id"] for operation in server.pushes[-1]] == [first, waits, last]
    assert device.pending() == []


async def test_a_resync_within_the_same_epoch_is_a_protocol_error(device: Device, server: FakeServer) -> None:
    server.history = "first"
    await device.do("createCustomer", {"id": "1"})
    await device.push()
    await device.do("createCustomer", {"id": "2"})
    lost = {"outcomes": [], "checkpoint": 0, "epoch": "first", "resync": True}
    server.answers = [httpx2.Response(200, json=lost)]
    with pytest.raises(ProtocolError):
        await device.push()
    assert len(device.pending()) == 1


async def test_a_device_without_new_work_resends_lost_work_too(
    device: Device, server: FakeServer, store: Store
) -> None:
    server.history = "first"
    done = [await device.do("createCustomer", {"id": id}) for id in ("1", "2")]
    await device.sync()
    server.lose(done[1:], history="second")
    server.log = server.log[:1]
    await device.sync()
    assert [operation["id"] for operation in server.applied] == done
    assert store.server_row("Customer", "2") is not None
    pushes = len(server.pushes)
    await device.sync()
    assert len(server.pushes) == pushes


async def test_a_new_copy_asks_for_the_epoch_once_and_resends_nothing(
    device: Device, server: FakeServer
) -> None:
    server.history = "first"
    await device.pull()
    await device.do("createCustomer", {"id": "1"})
    await device.sync()
    server.restart_feed()
    await device.sync()
    await device.sync()
    assert [len(operations) for operations in server.pushes] == [1, 0]


async def test_a_device_with_a_new_copy_from_before_the_restore_resends_lost_work_too(
    device: Device, server: FakeServer, network: FlakyTransport
) -> None:
    server.history = "first"
    server.restart_feed()
    network.plan = iter([Fault.LOSE])
    with pytest.raises(Offline):
        await device.pull()
    done = await device.do("createCustomer", {"id": "1"})
    await device.push()
    server.lose([done], history="second")
    server.log = []
    await device.sync()
    assert [operation["id"] for operation in server.applied] == [done]


async def test_operations_with_expired_receipts_are_not_resent(device: Device, server: FakeServer) -> None:
    server.history = "first"
    now = datetime.now(UTC)
    times = (now - timedelta(days=61), now - timedelta(days=59), now + timedelta(days=2))
    done = [
        await device.do("createCustomer", {"id": str(place)}, occurred_at=when)
        for place, when in enumerate(times)
    ]
    await device.push()
    server.lose(done, history="second")
    await device.do("createCustomer", {"id": "new"})
    await device.push()
    assert [operation["input"]["id"] for operation in server.applied] == ["1", "new"]


async def test_a_unit_is_resent_whole_or_not_at_all(
    device: Device, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_MOST_AGAIN", 2)
    server.history = "first"
    async with device.unit():
        for id in ("1", "2"):
            await device.do("createCustomer", {"id": id})
    await device.do("createCustomer", {"id": "3"})
    await device.push()
    server.lose(list(server.receipts), history="second")
    await device.do("createCustomer", {"id": "4"})
    await device.push()
    assert [operation["input"]["id"] for operation in server.applied] == ["3", "4"]


async def test_outcomes_received_before_the_loss_are_returned(
    device: Device, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "BATCH", 1)
    server.history = "first"
    await device.do("createCustomer", {"id": "1"})
    await device.push()
    refused = await device.do("refuseCustomer", {"id": "2"})
    new = await device.do("createCustomer", {"id": "3"})
    answered = server._push

    def lose_after_the_refusal(body: dict[str, Any]) -> httpx2.Response:
        answer = answered(body)
        if server.history == "first":
            server.lose([], history="second")
        return answer

    monkeypatch.setattr(server, "_push", lose_after_the_refusal)
    told = {outcome.id: outcome.status for outcome in await device.push()}
    assert (told[refused], told[new]) == ("rejected", "applied")


async def test_a_server_without_epochs_does_not_loop_the_sync(
    device: Device, server: FakeServer, store: Store
) -> None:
    server.history = "first"
    await device.do("createCustomer", {"id": "1"})
    await device.sync()
    server.restart_feed()
    nothing = httpx2.Response(200, json={"outcomes": [], "checkpoint": 0, "nextNumber": 2})

    def mute(body: dict[str, Any]) -> httpx2.Response:
        return nothing

    server._push = mute  # type: ignore[method-assign]
    await device.sync()
    assert store.wonders, "the device asks again at the next push"


async def test_operations_of_several_schemas_are_sent_in_order_each_with_its_own(
    device: Device, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(schema: int, count: int) -> list[str]:
        monkeypatch.setattr(outbox, "SCHEMA", schema)
        return [await device.do("updateCustomer", {"customerId": "c", "phone": "1"}) for _ in range(count)]

    monkeypatch.setattr(pushing, "BATCH", 3)
    done = [*await work(1, 4), *await work(2, 1)]
    async with device.unit():
        done += await work(2, 3)
    await device.sync()
    assert [[one["id"] for one in push] for push in server.pushes] == [
        done[:3],
        done[3:4],
        done[4:5],
        done[5:],
    ]
    assert [said["schema"] for said in server.reports if "device" in said] == [1, 1, 2, 2]


async def test_resent_operations_keep_their_schema(
    device: Device, server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.history = "before"
    monkeypatch.setattr(outbox, "SCHEMA", 1)
    done = await device.do("updateCustomer", {"customerId": "c", "phone": "1"})
    await device.sync()
    server.lose([done], "after")
    monkeypatch.undo()
    await device.sync()
    assert [one["id"] for one in server.applied] == [done]
    assert [said["schema"] for said in server.reports if "device" in said][-1] == 1


async def test_a_store_of_version_1_keeps_its_work(
    tmp_path: Path, open_device: Open, server: FakeServer
) -> None:
    path = tmp_path / "old.db"
    store = Store(path)
    device = open_device(store)
    done = await device.do("updateCustomer", {"customerId": "c", "phone": "1"})
    for table in ("outbox", "outcome"):
        store.database.execute(f"ALTER TABLE {table} DROP COLUMN schema")
    store.database.execute("PRAGMA user_version = 1")
    store.close()
    store = Store(path)
    assert [(op.id, op.schema) for op in store.outbox.operations()] == [(done, 2)]
    device = open_device(store)
    await device.sign_in("demo", "demo")
    await device.sync()
    assert [one["id"] for one in server.applied] == [done]
    store.close()
    Store(path).close()


async def test_a_retry_after_up_to_the_cap_is_waited_for_and_a_longer_one_raises() -> None:
    asked = 0
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def call() -> str:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise Offline("busy", retry_after=wait)
        return "answer"

    backoff = Backoff(cap=60.0, sleep=sleep, random=lambda: 0.0)
    wait = 60.0
    assert await backoff.run(call) == "answer"
    asked, wait = 0, 60.1
    with pytest.raises(Offline):
        await backoff.run(call)
    assert waits == [60.0]


async def test_a_store_knows_which_numbers_were_accepted(device: Device, store: Store) -> None:
    await device.do("createCustomer", {"id": "c"})
    await device.sync()
    always = ("2000", "3000")
    assert store.outbox.knows_more(0, *always)
    assert store.outbox.knows_more(1, *always)
    assert not store.outbox.knows_more(2, *always)
    assert not store.outbox.knows_more(0, "2000", "2001")


@pytest.mark.parametrize("status", [204, 302])
async def test_an_answer_from_something_in_between_counts_as_offline(
    device: Device, server: FakeServer, status: int
) -> None:
    done = await device.do("createCustomer", {"id": "c"})
    server.answers = [httpx2.Response(status, headers={"Location": "http://portal.example"})]
    with pytest.raises(Offline):
        await device.push()
    assert [operation.id for operation in device.pending()] == [done]
