"""The server as a whole: health, limits, request ids, errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from structlog.testing import capture_logs

from tests.support import migrate
from tests.support.refusals import refusal
from tournee import migrations
from tournee.app import create_app
from tournee.settings import Settings, read_settings


@asynccontextmanager
async def caller(app: Starlette) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://server") as client,
    ):
        yield client


@pytest.fixture
def small(tmp_path: Path) -> Starlette:
    """Return a server that accepts bodies of up to a hundred bytes, and a route that reads them."""

    async def length(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    settings = Settings(database_url=f"sqlite:///{tmp_path}/new.db", directory=tmp_path, body_limit=100)
    app = create_app(settings)
    app.router.routes.append(Route("/length", length, methods=["POST"]))
    return app


async def pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 10


async def test_healthz_does_not_check_the_database(small: Starlette) -> None:
    async with caller(small) as client:
        assert (await client.get("/healthz")).status_code == 200


async def test_the_server_is_not_ready_before_the_migrations(small: Starlette) -> None:
    async with caller(small) as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "MIGRATIONS_PENDING")


@pytest.mark.parametrize(("revision", "status"), [("0017", 503), ("9999", 200)])
async def test_a_server_is_ready_for_a_newer_schema_and_not_for_an_older_one(
    tmp_path: Path, revision: str, status: int
) -> None:
    url = f"sqlite:///{tmp_path}/upgraded.db"
    migrate.upgrade(url)
    with migrate.connected(url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :now"), {"now": revision})
    async with caller(create_app(Settings(database_url=url, directory=tmp_path))) as client:
        assert (await client.get("/readyz")).status_code == status


async def test_the_server_is_not_ready_without_a_database(tmp_path: Path) -> None:
    settings = Settings(database_url="postgresql://nobody@127.0.0.1:1/none", directory=tmp_path)
    async with caller(create_app(settings)) as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "DATABASE_AWAY")


@pytest.mark.skipif(not migrations.newest(), reason="there is no migration yet")
async def test_the_server_is_ready_after_the_migrations(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/readyz")).status_code == 200


async def test_a_body_over_the_limit_is_refused_with_or_without_content_length(small: Starlette) -> None:
    async with caller(small) as client:
        assert (await client.post("/length", content=b"x" * 100)).text == "100"
        assert (await client.post("/length", content=pieces(10))).text == "100"
        for body in (b"x" * 101, pieces(11)):
            answer = await client.post("/length", content=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "TOO_LARGE")


async def test_the_body_limit_holds_when_an_endpoint_swallows_errors(small: Starlette) -> None:
    async def swallow(request: Request) -> Response:
        try:
            await request.body()
        except Exception:  # noqa: BLE001 - this is what the test is about
            return PlainTextResponse("fine")
        return PlainTextResponse("fine")

    small.router.routes.append(Route("/swallow", swallow, methods=["POST"]))
    async with caller(small) as client:
        answer = await client.post("/swallow", content=pieces(11))
    assert refusal(answer) == (413, "TOO_LARGE")


async def test_a_request_keeps_a_valid_id_and_gets_one_otherwise(client: httpx2.AsyncClient) -> None:
    kept = await client.get("/healthz", headers={"X-Request-Id": "from-a-proxy.1"})
    assert kept.headers["X-Request-Id"] == "from-a-proxy.1"
    for odd in ("a b", "x" * 101, "<script>", ""):
        answer = await client.get("/healthz", headers={"X-Request-Id": odd})
        assert answer.headers["X-Request-Id"] not in (odd, "")


async def test_an_unexpected_error_is_masked_and_logged(small: Starlette) -> None:
    async def broken(request: Request) -> Response:
        raise RuntimeError("the secret")

    small.router.routes.append(Route("/broken", broken))
    with capture_logs() as logged:
        async with caller(small) as client:
            answer = await client.get("/broken", headers={"X-Request-Id": "id-1"})
    assert refusal(answer) == (500, "INTERNAL")
    assert answer.json()["error"]["requestId"] == answer.headers["X-Request-Id"] == "id-1"
    assert "secret" not in answer.text
    (failure,) = [line for line in logged if line["event"] == "request_failed"]
    assert failure["exc_info"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "NO_SUCH_PATH"),
        ("GET", "/graphql/", 404, "NO_SUCH_PATH"),
        ("GET", "/auth/token", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_an_unknown_path_is_refused_with_a_code(
    client: httpx2.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_only_configured_origins_may_call_from_a_browser(tmp_path: Path) -> None:
    settings = read_settings(
        {"TOURNEE_DIRECTORY": str(tmp_path), "TOURNEE_WEB_ORIGINS": "https://a.example, https://b.example"}
    )
    question = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }
    async with caller(create_app(settings)) as client:
        for origin, allowed in (
            ("https://b.example", "https://b.example"),
            ("https://b.example.evil", None),
            ("null", None),
        ):
            asked = await client.options("/graphql", headers={"Origin": origin, **question})
            assert asked.headers.get("Access-Control-Allow-Origin") == allowed
            assert asked.is_success == (allowed is not None)
            told = await client.post("/graphql", headers={"Origin": origin})
            assert refusal(told) == (401, "UNAUTHENTICATED")
            assert told.headers.get("Access-Control-Allow-Origin") == allowed
            assert "Access-Control-Allow-Credentials" not in told.headers


async def test_without_configured_origins_no_other_origin_may_call(client: httpx2.AsyncClient) -> None:
    told = await client.get("/healthz", headers={"Origin": "https://a.example"})
    assert not any(name.lower().startswith("access-control") for name in told.headers)


async def test_requests_are_counted_by_route_not_by_path(client: httpx2.AsyncClient) -> None:
    await client.get("/nothing/here")
    await client.request("MADEUP", "/healthz")
    text = (await client.get("/metrics", headers={"Host": "localhost"})).text
    assert 'tournee_http_requests_total{method="GET",route="unmatched",status="404"}' in text
    assert 'method="OTHER"' in text
    assert "/nothing/here" not in text
