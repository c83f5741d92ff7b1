"""Each log line is one JSON object with the id of its request."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx2
import orjson
import pytest
import structlog
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from tournee.logs import configure_logs
from tournee.web.middleware import RequestMiddleware


@pytest.fixture
def _as_it_was() -> Iterator[None]:
    """Restore the logging configuration for the other tests."""
    root, config = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**config)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_as_it_was")
async def test_each_log_line_has_its_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/broken":
            raise RuntimeError("the secret")
        structlog.get_logger().warning("odd", number=1)
        logging.getLogger("library").warning("odder")
        await PlainTextResponse("fine")(scope, receive, send)

    transport = httpx2.ASGITransport(RequestMiddleware(app))
    async with httpx2.AsyncClient(transport=transport, base_url="http://server") as client:
        first = await client.get("/", headers={"X-Request-Id": "first"})
        second = await client.get("/broken")
    assert (first.status_code, second.status_code) == (200, 500)
    written = [orjson.loads(line) for line in capsys.readouterr().err.splitlines()]
    named = second.headers["X-Request-Id"]
    assert [(line["event"], line["level"], line["request_id"]) for line in written] == [
        ("odd", "warning", "first"),
        ("odder", "warning", "first"),
        ("request", "info", "first"),
        ("request_failed", "error", named),
        ("request", "info", named),
    ]
    assert written[2]["status"] == 200
    assert written[3]["exception"][0]["exc_type"] == "RuntimeError"
    for line in written:
        assert line["timestamp"].endswith("Z")
        assert abs((datetime.now(UTC) - datetime.fromisoformat(line["timestamp"])).total_seconds()) < 60
