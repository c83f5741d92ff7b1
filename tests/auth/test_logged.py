"""Sign-ins, failures, revocations and refused tokens are logged with the client's address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import structlog
from starlette.applications import Starlette
from structlog.testing import LogCapture

import tournee.app
from tests.support.house import House
from tests.support.signing_in import PASSWORD
from tournee.engine.database import Database
from tournee.kernel.actor import Actor
from tournee.logs import CLIENT
from tournee.settings import Settings

Bearer = Callable[[Actor], dict[str, str]]
Lines = list[dict[str, Any]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """Return the log lines with the address that `tournee.logs` adds."""
    capture = LogCapture()

    def add_client(_logger: Any, _method: str, event: Any) -> Any:
        return {**event, "client": CLIENT.get()}

    config = structlog.get_config()
    structlog.configure(**config | {"processors": [add_client, capture], "cache_logger_on_first_use": False})
    yield capture.entries
    structlog.configure(**config)


@pytest.fixture
def proxied(served_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Starlette:
    """A server behind a proxy at 10.0.0.7."""
    monkeypatch.setattr(tournee.app, "Database", lambda _url, **_: served_database)
    settings = Settings(database_url=served_database.url, directory=tmp_path, trusted_proxies=("10.0.0.0/8",))
    return tournee.app.create_app(settings)


def calling(app: Starlette, address: str, connected: str = "10.0.0.7") -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app, client=(connected, 4711))
    headers = {"X-Forwarded-For": address}
    return httpx2.AsyncClient(transport=transport, base_url="http://server", headers=headers)


def told(lines: Lines, event: str) -> list[tuple[Any, ...]]:
    return [
        (line["client"], line.get("code") or line.get("command") or line.get("account"))
        for line in lines
        if line["event"] == event
    ]


async def test_sign_ins_and_refusals_are_logged_with_the_address(
    proxied: Starlette, house: House, technician: Actor, email: str, lines: Lines
) -> None:
    form = {"grant_type": "password", "username": email, "password": PASSWORD, "device": str(uuid4())}
    await proxied.state.tokens.ring.ready()
    manager = proxied.state.tokens.issue(await house.account("MANAGER"))
    lines.clear()
    async with calling(proxied, "192.0.2.1") as client:
        tokens = (await client.post("/auth/token", data=form)).json()
        await client.post("/auth/token", data={**form, "password": "guess"})
        await client.post("/auth/token", data={"grant_type": "refresh_token", "refresh_token": "made up"})
        await client.get("/sync/pull", headers={"Authorization": "Bearer made up"})
        query = "mutation($i:RevokeDeviceInput!){revokeDevice(input:$i){__typename}}"
        body = {"query": query, "variables": {"i": {"deviceId": form["device"]}}}
        await client.post("/graphql", json=body, headers={"Authorization": f"Bearer {manager}"})
        await client.get("/sync/pull", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    address = "192.0.2.1"
    assert told(lines, "signed_in") == [(address, str(technician.id))]
    assert [client for client, _ in told(lines, "sign_in_refused")] == [address] * 2
    assert told(lines, "token_refused") == [(address, "TOKEN_INVALID"), (address, "DEVICE_REVOKED")]
    assert told(lines, "carried_out") == [(address, "revokeDevice")]
    assert {line["client"] for line in lines if line["event"] == "request"} == {address}
    assert not [line for line in lines if PASSWORD in str(line) or "guess" in str(line)]


async def test_guesses_behind_one_proxy_are_counted_by_client(
    proxied: Starlette, technician: Actor, email: str
) -> None:
    form = {"grant_type": "password", "username": email, "password": "guess"}
    async with calling(proxied, "192.0.2.1") as guesser:
        for _ in range(10):
            assert (await guesser.post("/auth/token", data=form)).status_code == 400
        waiting = await guesser.post("/auth/token", data=form)
        assert (waiting.status_code, waiting.json()["error"]) == (429, "slow_down")
    async with calling(proxied, "192.0.2.2") as owner:
        assert (await owner.post("/auth/token", data={**form, "password": PASSWORD})).status_code == 200
    async with calling(proxied, "198.51.100.9", connected="192.0.2.1") as liar:
        assert (await liar.post("/auth/token", data=form)).status_code == 429
