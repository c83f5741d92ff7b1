import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.clients.fake import FakeServer
from tournee_client import Device, Offline, Revoked, SignInRefused, Store
from tournee_client.testing import Fault, FlakyTransport


async def test_a_wrong_password_is_refused_with_its_code(
    open_device: Callable[[Store], Device], store: Store
):
    with pytest.raises(SignInRefused) as refused:
        await open_device(store).sign_in("technician@demo.example", "wrong")
    assert refused.value.code == "invalid_grant"


async def test_an_expired_token_is_renewed_and_the_new_refresh_token_stored(
    device: Device, server: FakeServer, store: Store
):
    for _ in range(3):
        server.expire()
        await device.pull()
        assert store.database.get("refresh_token") == server.refresh_token


async def test_simultaneous_requests_with_an_expired_token_renew_once(device: Device, server: FakeServer):
    await device.do("createCustomer", {"id": "c"})
    server.expire()
    before = server.tokens_given
    await asyncio.gather(device.push(), device.pull())
    assert server.tokens_given == before + 1


async def test_a_restarted_app_is_still_signed_in(
    device: Device, open_device: Callable[[Store], Device], store: Store, server: FakeServer
):
    server.write("Customer", "c", {})
    await open_device(store).pull()
    assert device.get("Customer", "c") == {"id": "c"}


async def test_a_lost_renewal_requires_a_sign_in_and_keeps_the_work(
    device: Device, server: FakeServer, network: FlakyTransport
):
    await device.do("createCustomer", {"id": "c"})
    server.expire()
    network.plan = iter([Fault.DELIVER, Fault.LOSE])
    with pytest.raises(Offline):
        await device.push()
    with pytest.raises(SignInRefused):
        await device.push()
    await device.sign_in("technician@demo.example", "demo")
    await device.push()
    assert server.row("Customer", "c") == {}


async def test_another_person_cannot_take_over_a_store(device: Device):
    await device.sign_in("Technician@demo.example", "demo")
    with pytest.raises(SignInRefused) as refused:
        await device.sign_in("dispatcher@demo.example", "demo")
    assert refused.value.code == "other_user"


async def test_a_revoked_device_raises_and_a_wipe_leaves_nothing(
    device: Device, server: FakeServer, store: Store, tmp_path: Path
):
    await device.do("createCustomer", {"id": "c", "name": "Secret Bakery"})
    await device.sync()
    assert _is_on_disk(tmp_path, b"Secret Bakery")
    server.revoked = True
    with pytest.raises(Revoked):
        await device.sync()
    before = store.device
    device.wipe()
    assert device.all("Customer") == []
    assert store.device != before
    assert not _is_on_disk(tmp_path, b"Secret Bakery")


def _is_on_disk(folder: Path, text: bytes) -> bool:
    return any(text in file.read_bytes() for file in folder.iterdir())


async def test_a_revoked_device_erases_its_copy_when_its_refresh_token_is_refused(
    device: Device, server: FakeServer, store: Store
):
    """Otherwise the order to surrender its work would keep the copy on it for ever."""
    await device.do("createCustomer", {"id": "c"})
    server.answers = [httpx2.Response(403, json={"code": "DEVICE_REVOKED", "surrender": True})]
    # This server answers 401 to a surrender.
    with pytest.raises(Revoked):
        await device.push()
    assert (device.pending(), store.leaving) == ([], None)


async def test_a_captive_portals_answer_counts_as_offline(device: Device, network: FlakyTransport):
    class Hotel(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, html="<h1>Welcome</h1>")

    await device.do("createCustomer", {"id": "c"})
    network.inner = Hotel()
    with pytest.raises(Offline):
        await device.push()
    assert len(device.pending()) == 1
