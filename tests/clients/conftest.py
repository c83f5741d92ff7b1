from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio

from tests.clients.fake import FakeServer
from tournee_client import Backoff, Device, Store
from tournee_client.testing import FlakyTransport


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def network(server: FakeServer) -> FlakyTransport:
    """Return the transport to the server; a test sets its `plan`."""
    return FlakyTransport(server)


@pytest.fixture
def waits() -> list[float]:
    """Collect the device's pauses between attempts, in seconds."""
    return []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "device.db")
    yield opened
    opened.close()


@pytest.fixture
def open_device(network: FlakyTransport, waits: list[float]) -> Callable[[Store], Device]:
    """Open a device on a store; opening the same store again acts as a restarted app."""

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    def opened(store: Store) -> Device:
        http = httpx2.AsyncClient(transport=network)
        return Device("http://server.example", store, http, backoff=Backoff(sleep=wait, random=lambda: 1.0))

    return opened


@pytest_asyncio.fixture
async def device(open_device: Callable[[Store], Device], store: Store) -> AsyncIterator[Device]:
    """Return a device with a technician signed in."""
    signed_in = open_device(store)
    await signed_in.sign_in("technician@demo.example", "demo")
    yield signed_in
