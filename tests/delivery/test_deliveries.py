"""Webhooks: each change reaches each endpoint at least once, signed, in the order of its record."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from tests.support.ask import ask
from tests.support.hooks import SECRET, Receiver, receiving
from tests.support.house import House
from tests.support.sockets import waking
from tournee.auth.roles import Role
from tournee.delivery import endpoint as rounds
from tournee.delivery import progress as progress_module
from tournee.delivery import worker
from tournee.delivery.addresses import is_public
from tournee.delivery.endpoint import Round
from tournee.delivery.payload import delivery_id
from tournee.delivery.progress import HeldByAnother, Progress, pause
from tournee.delivery.purging import purge_deliveries
from tournee.delivery.sending import Sender
from tournee.delivery.worker import Deliveries
from tournee.kernel.entity import new_id, now
from tournee.kernel.errors import Invalid
from tournee.webhooks.models import WebhookDelivery, WebhookEndpoint

# Trusts nobody: reading the certificates of the machine takes longer than a test.
TRUSTED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
ELSEWHERE = pytest.mark.prove_on("postgresql", "The same on the other database.")


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once, and read few changes at a time."""
    monkeypatch.setattr(progress_module, "pause", lambda _attempts: timedelta())
    monkeypatch.setattr(rounds, "CHUNK", 3)


async def endpoint(house: House, receiver: Receiver, **fields: Any) -> WebhookEndpoint:
    made: WebhookEndpoint = await house.run(
        "createWebhookEndpoint", name="Demo", url=receiver.url, secret=SECRET, **fields
    )
    return made


@asynccontextmanager
async def sender() -> AsyncIterator[Sender]:
    made = Sender(private=True, trusted=TRUSTED)
    yield made
    await made.close()


async def a_round(house: House, made: WebhookEndpoint, progress: Progress | None = None) -> None:
    own = progress or Progress(house.database, house.organisation_id, made.id)
    assert await own.take()
    async with sender() as posts:
        current = await Round.begin(house.database, own, posts)
        assert current is not None
        await current.go()
    if progress is None:
        await own.release()


@asynccontextmanager
async def working(house: House, count: int = 1) -> AsyncIterator[None]:
    """Run the workers of so many server processes."""
    async with AsyncExitStack() as stack:
        tasks = []
        for _ in range(count):
            wake, posts = (
                await stack.enter_async_context(waking(house)),
                await stack.enter_async_context(sender()),
            )
            worker = Deliveries(house.database, wake, posts, look_seconds=0.05)
            tasks.append((asyncio.create_task(worker.run()), wake))
        yield
        for task, wake in tasks:
            wake.close()
            await task


async def test_changes_arrive_signed_as_an_account_for_reports_sees_them(house: House) -> None:
    async with receiving(Receiver()) as receiver, working(house, 2):
        await house.run("createCustomer", name="Demo: before")
        made = await endpoint(house, receiver, entities=["Customer", "Account"])
        customer = await house.run("createCustomer", name="Demo Hotel", phone="1")
        await house.run("createSkill", name="Lifts")
        # Accounts are not for reports.
        await house.account(Role.DISPATCHER)
        await house.run("updateCustomer", customerId=customer.id, phone="2")
        await receiver.until(2)
        await asyncio.sleep(0.2)
    (first, created), (second, changed) = receiver.accepted
    assert (created["recordId"], created["after"]["name"]) == (str(customer.id), "Demo Hotel")
    assert (changed["before"], changed["after"]) == ({"phone": "1"}, {"phone": "2"})
    assert (first, second) == tuple(delivery_id(made.id, one["seq"]) for one in (created, changed))
    assert len(receiver.got) == 2


async def test_endpoints_with_one_id_are_two_and_more_than_fit_take_turns(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_MOST", 1)
    houses, id = (house, await House(house.database).found()), str(new_id())
    async with receiving(Receiver()) as receiver, working(house):
        for one in houses:
            await endpoint(one, receiver, id=id)
        for count in (2, 4):
            for one in houses:
                await one.run("createCustomer", name="Demo")
            await receiver.until(count)


async def test_a_round_ends_when_its_endpoint_is_switched_off(house: House) -> None:
    async with receiving(Receiver(seconds=0.1)) as receiver:
        made = await endpoint(house, receiver)
        for n in range(12):
            await house.run("createCustomer", name=f"Demo {n}")
        sending = asyncio.create_task(a_round(house, made))
        await receiver.until(1)
        await house.run("updateWebhookEndpoint", webhookEndpointId=made.id, active=False)
        await sending
        assert len(receiver.got) <= 6


@ELSEWHERE
async def test_a_refused_change_waits_with_those_of_its_record_and_others_go_on(house: House) -> None:
    broken: set[str] = set()
    async with receiving(Receiver(lambda data: 500 if data["recordId"] in broken else 200)) as receiver:
        made = await endpoint(house, receiver)
        bad, good = [await house.run("createCustomer", name=f"Demo {n}") for n in range(2)]
        broken.add(str(bad.id))
        for phone in "12":
            for one in (bad, good):
                await house.run("updateCustomer", customerId=one.id, phone=phone)
        await a_round(house, made)
        assert [data["recordId"] for _, data in receiver.accepted] == [str(good.id)] * 3
        # Only the first of the record is tried again.
        tried = [data["seq"] for _, data in receiver.got if data["recordId"] == str(bad.id)]
        assert len(set(tried)) == 1
        broken.clear()
        await a_round(house, made)
    sent = [data for _, data in receiver.accepted if data["recordId"] == str(bad.id)]
    assert [data["after"].get("phone") for data in sent] == [None, "1", "2"]
    assert await house.rows(WebhookDelivery) == []


@ELSEWHERE
async def test_a_change_is_given_up_listed_and_replayed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "MOST_ATTEMPTS", 3)
    status = [503]
    listed = """query($id: ID!) {webhookDeliveries(webhookEndpointId: $id, dead: true)
                {seq recordId attempts deadAt error}}"""
    async with receiving(Receiver(lambda _data: status[0])) as receiver:
        made = await endpoint(house, receiver)
        customer = await house.run("createCustomer", name="Demo Hotel")
        for _ in range(4):
            await a_round(house, made)
        (dead,) = (await ask(house, listed, id=str(made.id)))["webhookDeliveries"]
        assert (dead["recordId"], dead["attempts"]) == (str(customer.id), 3)
        assert dead["error"] == "The receiver answered 503."
        assert len(receiver.got) == 3
        # What comes later is not held back by what was given up.
        status[0] = 200
        await house.run("updateCustomer", customerId=customer.id, phone="1")
        await a_round(house, made)
        assert [data["seq"] for _, data in receiver.accepted] == [dead["seq"] + 1]
        await house.run("replayWebhookDeliveries", webhookEndpointId=made.id, seqs=[dead["seq"]])
        await a_round(house, made)
    assert receiver.accepted[-1][0] == receiver.got[0][0]
    assert (await ask(house, listed, id=str(made.id)))["webhookDeliveries"] == []


@ELSEWHERE
async def test_an_endpoint_that_is_down_reads_no_further(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "MOST_WAITING", 4)
    async with receiving(Receiver(lambda _data: 500)) as receiver:
        made = await endpoint(house, receiver)
        for n in range(20):
            await house.run("createCustomer", name=f"Demo {n}")
        for _ in range(5):
            await a_round(house, made)
        assert len(await house.rows(WebhookDelivery)) <= 4 + rounds.CHUNK
        receiver.answers = lambda _data: 200
        for _ in range(9):
            await a_round(house, made)
    assert sorted(data["seq"] for _, data in receiver.accepted) == [made_seq + 2 for made_seq in range(20)]


async def test_one_process_sends_to_an_endpoint_and_another_takes_over(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving(Receiver()) as receiver:
        made = await endpoint(house, receiver)
        one, other = (Progress(house.database, house.organisation_id, made.id) for _ in range(2))
        assert await one.take()
        assert not await other.take()
        monkeypatch.setattr(progress_module, "HELD_SECONDS", -1.0)
        await one.keep()
        monkeypatch.undo()
        assert await other.take()
        with pytest.raises(HeldByAnother):
            await one.advance(5, [])


@ELSEWHERE
async def test_a_slow_endpoint_does_not_keep_another_waiting(house: House) -> None:
    async with receiving(Receiver(seconds=4)) as slow, receiving(Receiver()) as quick, working(house):
        await endpoint(house, slow)
        await endpoint(house, quick)
        for n in range(5):
            await house.run("createCustomer", name=f"Demo {n}")
        await quick.until(5)
        assert slow.accepted == []


@ELSEWHERE
async def test_no_redirect_is_followed_and_no_private_address_connected_to(house: House) -> None:
    async with receiving(Receiver(lambda _data: 307)) as receiver:
        made = await endpoint(house, receiver)
        await house.run("createCustomer", name="Demo Hotel")
        await a_round(house, made)
        assert len(receiver.got) >= 1
        (waiting,) = await house.rows(WebhookDelivery)
        assert waiting.error == "The receiver answered 307."
        before = len(receiver.got)
        strict = Sender(private=False, trusted=TRUSTED)
        from tournee.delivery.payload import sign

        signed = sign("msg", now(), b"{}", SECRET)
        port = receiver.url.rpartition(":")[2]
        assert await strict.post(receiver.url, signed) == "Only https addresses are allowed."
        for host in ("localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"):
            refusal = await strict.post(f"https://{host}:{port}/", signed)
            assert refusal == "The host has an address that is not public.", host
        await strict.close()
        assert len(receiver.got) == before


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "240.0.0.1", "::", "fe80::1", "fc00::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::a00:1",
     "2002:a00:1::"],
)  # fmt: skip
def test_addresses_of_networks_are_not_public(address: str) -> None:
    assert not is_public(address)


def test_pauses_grow_and_end() -> None:
    assert pause(1) < timedelta(seconds=5.1) < pause(5) < pause(12) <= timedelta(hours=4)
    assert is_public("93.184.216.34")
    assert is_public("2606:4700::1111")


@ELSEWHERE
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"url": "ftp://demo.example/"}, "url"),
        ({"url": "https://user:secret@demo.example/"}, "url"),
        ({"url": "https://demo.example:0/"}, "url"),
        ({"entities": ["Unheard"]}, "entities"),
        ({"secret": "whsec_short"}, "secret"),
    ],
)
async def test_a_wrong_endpoint_is_refused(house: House, fields: dict[str, Any], field: str) -> None:
    given = {"name": "Demo", "url": "https://demo.example/", "secret": SECRET, **fields}
    with pytest.raises(Invalid) as refused:
        await house.run("createWebhookEndpoint", **given)
    assert refused.value.field == field


async def test_what_was_given_up_long_ago_is_deleted(house: House) -> None:
    async with receiving(Receiver(lambda _data: 500)) as receiver:
        made = await endpoint(house, receiver)
        await house.run("createCustomer", name="Demo Hotel")
        await a_round(house, made)
    await purge_deliveries(house.database, house.organisation_id)
    assert len(await house.rows(WebhookDelivery)) == 1
    async with house.writing() as session:
        old = update(WebhookDelivery).values(dead_at=now() - timedelta(days=31))
        await session.execute(old.execution_options(synchronize_session=False))
        await session.commit()
    await purge_deliveries(house.database, house.organisation_id)
    assert await house.rows(WebhookDelivery) == []
