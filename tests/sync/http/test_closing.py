"""Losing access closes an account's open connections in every process, over real sockets."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import orjson
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.support.house import House
from tests.support.serving import served
from tournee.auth.keys.ring import KeyRing
from tournee.auth.models import RefreshToken
from tournee.auth.tokens import Tokens
from tournee.kernel.actor import Actor
from tournee.kernel.entity import now
from tournee.settings import Settings

# Far more than it takes, far less than the lifetime of a cache entry or a token.
SOON = 4.0
SUBSCRIPTION = {"query": "subscription { changes { seq } }"}


class Doomed:
    """A technician's device with three kinds of open connection."""

    def __init__(self, address: str, token: str) -> None:
        self.address = address
        self.headers = {"Authorization": f"Bearer {token}"}

    async def socket(self, ready: asyncio.Event) -> Any:
        protocols: Any = ["graphql-transport-ws"]
        async with connect(f"ws://{self.address}/graphql", subprotocols=protocols) as socket:
            await socket.send(orjson.dumps({"type": "connection_init", "payload": self.headers}).decode())
            assert "connection_ack" in str(await socket.recv())
            started = {"type": "subscribe", "id": "1", "payload": SUBSCRIPTION}
            await socket.send(orjson.dumps(started).decode())
            ready.set()
            try:
                while True:
                    await socket.recv()
            except ConnectionClosed:
                return socket.close_code, socket.close_reason

    async def stream(self, ready: asyncio.Event) -> Any:
        last = ""
        async with (
            httpx2.AsyncClient(timeout=60.0) as client,
            client.stream("GET", f"http://{self.address}/sync/stream", headers=self.headers) as answer,
        ):
            async for line in answer.aiter_lines():
                ready.set()
                last = line or last
                if line == "event: closed":
                    last = ""
        return orjson.loads(last.removeprefix("data: "))["error"]

    async def events(self, ready: asyncio.Event) -> Any:
        said = []
        headers = {**self.headers, "Accept": "text/event-stream"}
        async with (
            httpx2.AsyncClient(timeout=60.0) as client,
            client.stream(
                "POST", f"http://{self.address}/graphql", json=SUBSCRIPTION, headers=headers
            ) as answer,
        ):
            async for line in answer.aiter_lines():
                ready.set()
                said.append(line)
        errors = [orjson.loads(line[6:])["errors"] for line in said if "errors" in line]
        return errors[-1][0]["extensions"]["code"]


WAYS = ("socket", "stream", "events")


async def end(
    doomed: Doomed, act: Callable[[], Coroutine[Any, Any, Any]], only: Sequence[str] = WAYS
) -> list[Any]:
    """Run `act` and return the last message of each of the three connections."""
    heard, open_still = await listen(doomed, act, only)
    assert not open_still
    return heard


async def listen(
    doomed: Doomed, act: Callable[[], Coroutine[Any, Any, Any]], only: Sequence[str] = WAYS
) -> tuple[list[Any], list[str]]:
    """Run `act`; return the last messages of the closed connections, and which are still open."""
    ready = {name: asyncio.Event() for name in only}
    listening = {name: asyncio.create_task(getattr(doomed, name)(event)) for name, event in ready.items()}
    async with asyncio.timeout(20):
        for event in ready.values():
            await event.wait()
    # Long enough for each to check its access and find it valid.
    await asyncio.sleep(0.3)
    await act()
    _, late = await asyncio.wait(listening.values(), timeout=SOON)
    for one in late:
        one.cancel()
    heard = [one.result() for one in listening.values() if one not in late]
    return heard, [name for name, one in listening.items() if one in late]


class Site:
    """A server, and an organisation whose commits it learns of."""

    def __init__(self, address: str, house: House, tokens: Tokens) -> None:
        self.address, self.house, self.tokens = address, house, tokens

    async def sign_in(self) -> tuple[Actor, UUID]:
        """Sign in on a device. A revocation also ends the session, but only "revoked" orders a wipe."""
        actor = await self.house.account("TECHNICIAN")
        device = await self.house.run("enrolDevice", actor, id=uuid4(), name="Demo tablet")
        actor = replace(actor, device_id=device.id, session_id=uuid4())
        issued = {"issued_at": now(), "expires_at": now() + timedelta(days=1)}
        async with self.house.writing() as session:
            session.add(
                RefreshToken(
                    hash=uuid4().hex,
                    family_id=actor.session_id,
                    organisation_id=actor.organisation_id,
                    account_id=actor.id,
                    device_id=device.id,
                    **issued,
                )
            )
            await session.commit()
        return actor, device.id

    def doomed(self, actor: Actor) -> Doomed:
        return Doomed(self.address, self.tokens.issue(actor))


@pytest_asyncio.fixture
async def site(app: Starlette, house: House) -> AsyncIterator[Site]:
    """Return the server in this process."""
    inside = House(app.state.kernel.database)
    inside.organisation_id = house.organisation_id
    async with served(app) as address:
        yield Site(address.removesuffix("/graphql"), inside, app.state.tokens)


async def check(site: Site) -> None:
    """Check a revoked device, a disabled account and a changed role, each with its last messages."""
    actor, device = await site.sign_in()
    revoked = await end(
        site.doomed(actor), lambda: site.house.run("revokeDevice", deviceId=device, surrender=True)
    )
    (code, reason), error, told = revoked
    assert (code, reason, told) == (4401, "DEVICE_REVOKED", "DEVICE_REVOKED")
    assert (error["code"], error["surrender"]) == ("DEVICE_REVOKED", True)

    actor, _ = await site.sign_in()
    disabled = await end(site.doomed(actor), lambda: site.house.run("disableAccount", accountId=actor.id))
    assert (disabled[0], disabled[1]["code"], disabled[2]) == (
        (4401, "UNAUTHENTICATED"),
        "UNAUTHENTICATED",
        "UNAUTHENTICATED",
    )


async def test_connections_close_on_revocation_disabling_or_a_changed_role(site: Site) -> None:
    await check(site)


@pytest.mark.parametrize("way", WAYS)
async def test_each_kind_of_connection_closes_on_revocation_by_itself(site: Site, way: str) -> None:
    actor, device = await site.sign_in()
    (heard,) = await end(site.doomed(actor), lambda: site.house.run("revokeDevice", deviceId=device), [way])
    assert "DEVICE_REVOKED" in (heard.values() if isinstance(heard, dict) else heard)


async def test_an_expired_token_closes_the_connections_opened_with_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor, _ = await site.sign_in()
    with monkeypatch.context() as patched:
        patched.setattr(
            site.tokens, "settings", site.tokens.settings.model_copy(update={"access_token_seconds": 2})
        )
        doomed = site.doomed(actor)
    expired = await end(doomed, lambda: asyncio.sleep(1))
    assert (expired[0], expired[1]["code"], expired[2]) == (
        (4401, "TOKEN_EXPIRED"),
        "TOKEN_EXPIRED",
        "TOKEN_EXPIRED",
    )


@pytest.mark.slow("It waits to see that nothing happens.")
async def test_connections_of_others_stay_open(site: Site) -> None:
    actor, _ = await site.sign_in()
    _, other = await site.sign_in()
    heard = await listen(site.doomed(actor), lambda: site.house.run("revokeDevice", deviceId=other))
    assert heard == ([], list(WAYS))


@asynccontextmanager
async def another_process(url: str, directory: Path) -> AsyncIterator[str]:
    environment = {**os.environ, "DATABASE_URL": url, "TOURNEE_DIRECTORY": str(directory)}
    command = "uvicorn --factory tournee.app:create --port 0 --log-level info"
    serving = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *command.split(),
        env=environment,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert serving.stderr is not None
    try:
        async with asyncio.timeout(60):
            async for line in serving.stderr:
                if b"running on http://" in line:
                    break
        yield line.decode().split("http://")[1].split()[0]
    finally:
        serving.terminate()
        await serving.communicate()


@pytest.mark.slow("A second process imports the server.")
async def test_a_commit_of_one_process_closes_the_connections_of_another(
    house: House, database_url: str, tmp_path: Path
) -> None:
    if house.database.is_sqlite:
        pytest.skip("SQLite serves one process")
    settings = Settings(database_url=database_url, directory=tmp_path)
    tokens = Tokens(settings, KeyRing(house.database, settings))
    await tokens.ring.ready()
    async with another_process(database_url, tmp_path) as address:
        await check(Site(address, house, tokens))
