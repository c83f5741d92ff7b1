"""The real device and the real server: revoke, surrender, wipe and confirm, with any interruption."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from itertools import repeat
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.clients.served.field import Field, Office, Open, copy, step
from tournee_client import Device, Offline, ProtocolError, Revoked, SignInRefused, Store, new_id
from tournee_client.testing import Fault, FlakyTransport

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

Ask = Callable[..., Awaitable[Any]]
SECRET = "Demo: the key is under the mat"


class Switched(Exception):
    """Raised where the device is switched off."""


@pytest.fixture
def say(ask: Ask, store: Store) -> Callable[[], Awaitable[tuple[str, list[str]]]]:
    """Return the device's status, and the commands that wait for a manager, oldest first."""
    id = store.device

    async def told() -> tuple[str, list[str]]:
        asked = """query Q($id: ID!) { device(id: $id) { status }
          conflicts(filter: {kind: {eq: WORK_SURRENDERED}}) { nodes { deviceId mine } } }"""
        said = await ask(asked, id=id)
        mine = [one["mine"] for one in said["conflicts"]["nodes"] if one["deviceId"] == id]
        done = sorted((one for kept in mine for one in kept["operations"]), key=lambda one: one["number"])
        return said["device"]["status"], [one["command"] for one in done]

    return told


async def work(device: Device, field: Field) -> str:
    """Pull a visit and record two operations on it without sending them."""
    visit = await field.visit()
    await device.pull()
    await step(device, "startTravel", visit, 0)
    await device.do("addNote", {"id": new_id(), "appointmentId": visit, "text": SECRET})
    return visit


def is_on_disk(folder: Path, text: str) -> bool:
    return any(text.encode() in file.read_bytes() for file in folder.iterdir())


DONE = ["startTravel", "addNote"]


async def test_a_revoked_device_sends_its_work_erases_its_copy_and_confirms(
    device: Device,
    store: Store,
    field: Field,
    office: Office,
    network: FlakyTransport,
    say: Any,
    tmp_path: Path,
) -> None:
    await work(device, field)
    assert is_on_disk(tmp_path, SECRET)
    await office("revokeDevice", deviceId=store.device, surrender=True)
    assert await say() == ("REVOKED", [])
    network.history.clear()
    with pytest.raises(Revoked) as raised:
        await device.sync()
    assert raised.value.surrender
    assert [path for _, _, path in network.history] == ["/sync/push", "/sync/push", "/auth/wiped"]
    assert await say() == ("WIPED", DONE)
    assert (copy(device), device.pending(), store.leaving) == ({}, [], None)
    assert not is_on_disk(tmp_path, SECRET)
    with pytest.raises(SignInRefused):
        await device.pull()


async def test_without_permission_to_surrender_the_work_is_erased_with_the_copy(
    device: Device,
    store: Store,
    field: Field,
    office: Office,
    say: Any,
    tmp_path: Path,
) -> None:
    await work(device, field)
    await office("revokeDevice", deviceId=store.device)
    with pytest.raises(Revoked) as raised:
        await device.pull()
    assert not raised.value.surrender
    assert await say() == ("WIPED", [])
    assert not is_on_disk(tmp_path, SECRET)


@pytest.mark.parametrize(
    "plan",
    [
        [Fault.DELIVER, Fault.DROP],
        [Fault.DELIVER, Fault.LOSE],
        [Fault.DELIVER, Fault.CUT],
        [Fault.DELIVER, Fault.BUSY],
        [Fault.DELIVER, Fault.REPEAT, Fault.DROP],
        [Fault.DELIVER, Fault.DELIVER, Fault.LOSE],
        [Fault.DELIVER, Fault.DELIVER, Fault.BUSY],
    ],
    ids=lambda plan: "-".join(plan[1:]),
)
async def test_a_revoked_device_continues_after_any_network_fault(
    device: Device,
    open_device: Open,
    store: Store,
    field: Field,
    office: Office,
    network: FlakyTransport,
    say: Any,
    tmp_path: Path,
    plan: list[Fault],
) -> None:
    await work(device, field)
    await office("revokeDevice", deviceId=store.device, surrender=True)
    network.plan = iter([*plan, *repeat(Fault.DROP, 3)])
    with pytest.raises(Offline):
        await device.push()
    assert (len(device.pending()) == 2) == (store.leaving == "surrender")
    with pytest.raises(Offline):
        await device.pull()
    with pytest.raises(Revoked):
        await device.do("addNote", {"text": "too late"})
    network.plan = iter(())
    with pytest.raises(Revoked):
        await open_device(store).sync()
    assert await say() == ("WIPED", DONE)
    assert not is_on_disk(tmp_path, SECRET)


@pytest.mark.parametrize("moment", ["surrendered", "leaving", "left", "confirmed"])
async def test_a_revoked_device_continues_after_being_switched_off(
    device: Device,
    open_device: Open,
    store: Store,
    field: Field,
    office: Office,
    say: Any,
    tmp_path: Path,
    moment: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def off(*_: object) -> None:
        raise Switched

    await work(device, field)
    await office("revokeDevice", deviceId=store.device, surrender=True)
    with monkeypatch.context() as patched:
        if moment == "surrendered":  # the server received the work, the device has not read the answer
            patched.setattr(store, "settle", off)
        elif moment == "leaving":
            patched.setattr(store, "leave", off)
        elif moment == "left":  # the rows are deleted, the file is not rewritten yet
            patched.setattr(store.database, "scrub", off)
        else:
            patched.setattr(store, "wipe", off)
        with pytest.raises(Switched):
            await device.sync()
    store.close()
    again = Store(tmp_path / "device.db")
    try:
        with pytest.raises(Revoked):
            await open_device(again).pull()
        assert again.leaving is None
        assert await say() == ("WIPED", DONE)
        assert not is_on_disk(tmp_path, SECRET)
    finally:
        again.close()


async def test_a_device_asleep_during_its_revocation_sends_its_work_too(
    device: Device,
    open_device: Open,
    store: Store,
    field: Field,
    office: Office,
    say: Any,
) -> None:
    await work(device, field)
    await office("revokeDevice", deviceId=store.device, surrender=True)
    with pytest.raises(Revoked):
        await open_device(store).push()  # it has no access token, so it learns of the revocation at renewal
    assert await say() == ("WIPED", DONE)


async def test_a_signed_out_device_is_wiped_at_the_next_sign_in(
    device: Device,
    store: Store,
    field: Field,
    office: Office,
    say: Any,
) -> None:
    await work(device, field)
    device.sign_out()
    await office("revokeDevice", deviceId=store.device, surrender=True)
    with pytest.raises(Revoked):
        await device.sign_in(field.email, "a long password")
    assert await say() == ("WIPED", DONE)


async def test_a_listening_device_is_wiped_too(
    device: Device,
    store: Store,
    field: Field,
    office: Office,
    say: Any,
) -> None:
    await work(device, field)
    async with aclosing(device.stream()) as heard:
        await office("updateCustomer", customerId=field.world.customer.id, phone="1")
        await anext(heard)
        await office("revokeDevice", deviceId=store.device, surrender=True)
        with pytest.raises(Revoked):
            [changes async for changes in heard]
    assert await say() == ("WIPED", DONE)


async def test_a_new_device_of_the_same_person_starts_empty(
    device: Device,
    store: Store,
    field: Field,
    office: Office,
) -> None:
    visit = await work(device, field)
    before = store.device
    await office("revokeDevice", deviceId=before)
    with pytest.raises(Revoked):
        await device.sync()
    await device.sign_in(field.email, "a long password")
    await device.pull()
    assert store.device != before
    assert device.get("Appointment", visit) is not None


async def test_no_answer_from_another_server_makes_a_device_wipe(
    device: Device,
    store: Store,
    field: Field,
    network: FlakyTransport,
) -> None:
    class Stranger(httpx2.AsyncBaseTransport):
        def __init__(self, answer: httpx2.Response) -> None:
            self.answer = answer

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            return self.answer

    await work(device, field)
    for answer, error in (
        (httpx2.Response(403, html="<h1>Forbidden</h1>"), ProtocolError),
        (httpx2.Response(503), Offline),
        (httpx2.Response(401), Offline),
    ):
        network.inner = Stranger(answer)
        with pytest.raises(error):
            await device.push()
        assert (len(device.pending()), store.leaving) == (2, None)
