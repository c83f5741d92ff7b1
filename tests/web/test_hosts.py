"""The host names to which a server answers, and the clients of a demo."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.types import Message

from tournee.app import create_app
from tournee.settings import Settings

DEMO: dict[str, Any] = {"demo": True}
NAMED: dict[str, Any] = {"hosts": ("api.example.org", "*.app.example.org", "[2001:db8::1]")}


def server(tmp_path: Path, **changed: Any) -> Starlette:
    return create_app(Settings(database_url=f"sqlite:///{tmp_path}/t.db", directory=tmp_path, **changed))


async def status(
    app: Starlette,
    *hosts: str,
    path: str = "/",
    kind: str = "http",
    client: str = "127.0.0.1",
    **headers: str,
) -> int:
    """Return the status of the answer, and check that a WebSocket handshake gets the same."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"} if kind == "http" else {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    more = {name.replace("_", "-"): value for name, value in headers.items()}
    scope = {
        "type": kind,
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [
            *((b"host", host.encode()) for host in hosts),
            *((name.encode(), value.encode()) for name, value in more.items()),
        ],
        "client": (client, 4000),
        "server": ("127.0.0.1", 8000),
        "extensions": {"websocket.http.response": {}},
        "subprotocols": ["graphql-transport-ws"],
        "app": app,
        "http_version": "1.1",
        "scheme": "http",
    }
    await app(scope, receive, send)
    return int(sent[0].get("status", 101))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "127.0.0.1:8000",
        "127.9.9.9",
        "[::1]:8000",
        "localhost.",
        "app.localhost:5173",
    ],
)
async def test_a_demo_answers_to_the_names_of_this_machine(tmp_path: Path, host: str) -> None:
    assert await status(server(tmp_path, **DEMO), host) == 200


@pytest.mark.parametrize(
    "hosts",
    [
        ("evil.example",),
        ("evil.example:8000",),
        ("localhost.evil.example",),
        ("evillocalhost",),
        ("192.168.0.7",),
        ("[fe80::1]",),
        ("localhost:8000:8000",),
        ("evil.example@localhost",),
        ("",),
        (),
        ("localhost", "evil.example"),
    ],
    ids=str,
)
async def test_a_demo_answers_to_no_other_name(tmp_path: Path, hosts: tuple[str, ...]) -> None:
    app = server(tmp_path, **DEMO)
    assert await status(app, *hosts) == 421
    assert await status(app, *hosts, path="/graphql", kind="websocket") == 421
    assert await status(app, *hosts, path="/metrics") == 403
    assert await status(app, *hosts, path="/healthz") == 200


async def test_a_demo_answers_no_remote_client_through_a_local_proxy(tmp_path: Path) -> None:
    app = server(tmp_path, **DEMO)
    assert await status(app, "localhost", client="192.168.0.7") == 421
    for local in ("127.0.0.1", "::1", "[::1]:99", "127.0.0.1:99, 127.0.0.2"):
        assert await status(app, "localhost", x_forwarded_for=local) == 200
    for elsewhere in ("192.168.0.7", "127.0.0.1, 192.168.0.7", "192.168.0.7, 127.0.0.1", "unknown", ""):
        assert await status(app, "localhost", x_forwarded_for=elsewhere) == 421
    assert await status(app, "localhost", x_forwarded_host="demo.example") == 421
    assert await status(app, "localhost", x_real_ip="192.168.0.7") == 421
    assert await status(app, "localhost", forwarded='for="[::1]:4711";host=localhost;proto=https') == 200
    assert await status(app, "localhost", forwarded="For=192.168.0.7;proto=https") == 421
    assert await status(app, "localhost", forwarded="for=127.0.0.1;host=demo.example") == 421


@pytest.mark.parametrize(
    "host", ["api.example.org", "API.example.org:443", "a.app.example.org", "[2001:db8::1]:80"]
)
async def test_a_server_answers_to_its_configured_names(tmp_path: Path, host: str) -> None:
    assert await status(server(tmp_path, **NAMED), host) == 200


@pytest.mark.parametrize(
    "host", ["example.org", "app.example.org", "api.example.org.evil.example", "localhost", "10.0.0.1"]
)
async def test_a_server_answers_to_no_other_name_except_for_probes(tmp_path: Path, host: str) -> None:
    app = server(tmp_path, **NAMED)
    assert await status(app, host) == 421
    assert await status(app, host, path="/graphql", kind="websocket") == 421
    assert await status(app, host, path="/healthz") == 200


async def test_probes_are_answered_with_any_name_or_none(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "t.db")
    app = server(tmp_path, **NAMED)
    async with app.router.lifespan_context(app):
        for probe in ("/healthz", "/readyz"):
            # Some probes use HTTP/1.0, which needs no host name.
            assert await status(app, path=probe) == await status(app, "10.0.0.1:8000", path=probe) == 200


async def test_without_configured_names_a_server_answers_to_every_name(tmp_path: Path) -> None:
    app = server(tmp_path)
    assert await status(app, "anything.example") == await status(app) == 200
