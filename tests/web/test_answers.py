"""The security headers of every answer, and who may read the metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.types import Message
from structlog.testing import capture_logs

from tournee.app import create_app
from tournee.settings import Settings

TOKEN = "sixteen-or-longer"


def server(tmp_path: Path, **changed: Any) -> Starlette:
    return create_app(Settings(database_url=f"sqlite:///{tmp_path}/t.db", directory=tmp_path, **changed))


def calling(app: Starlette, host: str = "localhost", client: str = "127.0.0.1") -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app, client=(client, 4000))
    return httpx2.AsyncClient(transport=transport, base_url=f"http://{host}")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/assets/pages.css", 200),
        ("GET", "/assets/vendor/graphiql.min.js", 200),
        ("GET", "/assets/none.js", 404),
        ("GET", "/healthz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/nothing", 404),
        ("GET", "/auth/token", 405),
        ("POST", "/auth/token", 400),
        ("POST", "/graphql", 401),
        ("GET", "/sync/pull", 401),
        ("POST", "/sync/push", 401),
    ],
)
async def test_every_answer_restricts_browsers_by_headers(
    tmp_path: Path, method: str, path: str, status: int
) -> None:
    async with calling(server(tmp_path, demo=True)) as client:
        answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.headers.get_list("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers.get_list("Content-Security-Policy") == [
        "default-src 'none'; frame-ancestors 'none'"
    ]


async def test_pages_set_their_own_content_security_policy(tmp_path: Path) -> None:
    async with calling(server(tmp_path)) as client:
        for path in ("/", "/graphql"):
            answer = await client.get(path, headers={"Accept": "text/html"})
            (policy,) = answer.headers.get_list("Content-Security-Policy")
            assert "script-src 'self';" in policy
            assert answer.headers.get_list("X-Content-Type-Options") == ["nosniff"]


async def test_a_refused_handshake_has_the_headers_too(tmp_path: Path) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    app = server(tmp_path, hosts=("api.example.org",))
    scope = {
        "type": "websocket", "path": "/graphql", "headers": [], "extensions": {"websocket.http.response": {}},
    }  # fmt: skip
    await app(scope, receive, send)
    assert sent[0]["status"] == 421
    assert dict(sent[0]["headers"])[b"x-content-type-options"] == b"nosniff"


async def test_without_a_metrics_token_only_this_machine_reads_metrics(tmp_path: Path) -> None:
    app = server(tmp_path)

    async def asked(
        host: str = "localhost:8000", client: str = "127.0.0.1", **headers: str
    ) -> tuple[int, str]:
        async with calling(app, host, client) as caller:
            answer = await caller.get(
                "/metrics", headers={k.replace("_", "-"): v for k, v in headers.items()}
            )
        return answer.status_code, "" if answer.is_success else answer.json()["error"]["code"]

    assert await asked() == await asked("[::1]") == (200, "")
    closed = (403, "FORBIDDEN")
    assert await asked(client="192.0.2.7") == closed
    assert await asked(x_forwarded_for="192.0.2.7") == closed
    assert await asked(forwarded="for=192.0.2.7") == closed
    assert await asked("metrics.example.org") == closed
    assert await asked(authorization=f"Bearer {TOKEN}", client="192.0.2.7") == closed


async def test_with_a_metrics_token_its_holder_reads_metrics_from_anywhere(tmp_path: Path) -> None:
    app = server(tmp_path, metrics_token=TOKEN, hosts=("api.example.org",))
    async with calling(app, "10.0.0.1", "192.0.2.7") as far, calling(app) as near:
        for client in (far, near):
            for header in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}s"}):
                answer = await client.get("/metrics", headers=header)
                assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHENTICATED")
                assert answer.headers["WWW-Authenticate"] == "Bearer"
            answer = await client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
            assert answer.status_code == 200
            assert "tournee_http_requests" in answer.text


async def test_graphql_serves_the_editor_to_browsers_only(tmp_path: Path) -> None:
    html = {"Accept": "text/html,application/xhtml+xml"}
    async with calling(server(tmp_path)) as client:
        for method, path, headers, status in (
            ("GET", "/graphql", html, 200),
            ("HEAD", "/graphql", html, 200),
            ("GET", "/graphql?query={me{id}}", html, 401),
            ("GET", "/graphql", {"Accept": "*/*"}, 401),
            ("POST", "/graphql", html, 401),
        ):
            answer = await client.request(method, path, headers=headers)
            assert (answer.status_code, method, path) == (status, method, path)
            assert answer.headers["Content-Type"].startswith("text/html") is (status == 200)


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics"])
async def test_a_stale_token_is_ignored_where_none_is_needed(tmp_path: Path, path: str) -> None:
    async with calling(server(tmp_path)) as client:
        assert (await client.get(path, headers={"Authorization": "Bearer stale"})).status_code == 200


async def test_probes_are_logged_only_when_they_fail(tmp_path: Path) -> None:
    async with calling(server(tmp_path)) as client:
        with capture_logs() as quiet:
            await client.get("/healthz")
            await client.get("/metrics")
        with capture_logs() as loud:
            await client.post("/healthz")
            await client.get("/metrics", headers={"Host": "elsewhere.example"})
    assert quiet == []
    assert [(line["route"], line["status"]) for line in loud] == [("/healthz", 405), ("/metrics", 403)]
