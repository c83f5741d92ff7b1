import random
from collections.abc import Callable

import pytest

from tests.clients.fake import FakeServer
from tournee_client import Device, Offline, Store
from tournee_client.testing import Fault, FlakyTransport

ODDS = {Fault.DROP: 0.1, Fault.LOSE: 0.15, Fault.REPEAT: 0.1, Fault.CUT: 0.1, Fault.BUSY: 0.05}


@pytest.mark.parametrize("seed", range(40))
async def test_under_random_faults_nothing_is_lost_or_doubled_and_the_copy_converges(
    seed: int,
    server: FakeServer,
    open_device: Callable[[Store], Device],
    store: Store,
    network: FlakyTransport,
):
    dice = random.Random(seed)
    device = open_device(store)
    await device.sign_in("technician@demo.example", "demo")
    network.plan = FlakyTransport.seeded(server, seed, ODDS).plan
    network._only = lambda request: request.url.path != "/auth/token"
    server.page = dice.randint(1, 4)
    done: list[str] = []
    for _ in range(60):
        device = await _step(dice, device, server, store, open_device, done)
    network.plan = iter(())
    server.missing = set()
    await device.sync()
    assert sorted(operation["id"] for operation in server.applied) == sorted(done)
    assert device.pending() == []
    expected = {id: record for id in "abcdef" if (record := server.row("Customer", id)) is not None}
    assert {row.pop("id"): row for row in device.all("Customer")} == expected
    assert device.store.outbox.settled() == []


async def _step(
    dice: random.Random,
    device: Device,
    server: FakeServer,
    store: Store,
    open_device: Callable[[Store], Device],
    done: list[str],
) -> Device:
    id = dice.choice("abcdef")
    match dice.choice(
        ("do", "do", "do", "office", "remove", "push", "pull", "sync", "restart", "feed", "park")
    ):
        case "do":
            done.append(
                await device.do("createCustomer", {"id": id, "siteId": dice.choice("xy"), "n": len(done)})
            )
        case "office":
            server.write("Customer", id, {"office": server.head})
        case "remove":
            server.write("Customer", id, None)
        case "restart":
            return open_device(store)
        case "feed":
            server.restart_feed()
        case "park":
            server.missing ^= {"x"}
        case exchange:
            try:
                await getattr(device, exchange)()
            except Offline:
                return device
    return device
