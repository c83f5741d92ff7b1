"""The server's answers outside GraphQL match `schema/sync.openapi.yaml`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import orjson
import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.applications import Starlette
from starlette.routing import Route

from tests.support.desk import Desk
from tests.support.house import House
from tests.support.serving import listening
from tournee.kernel.actor import Actor
from tournee.kernel.entity import new_id

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

FILE = Path(__file__).parent.parent / "schema" / "sync.openapi.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text())
CHECKS: Any = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# An allowed request to it never ends.
ENDLESS = "/sync/stream"
EXAMPLES = 5
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
PASSWORD = "a long password"


def test_every_route_outside_graphql_is_in_the_file(app: Starlette) -> None:
    served = {
        (route.path, method.lower())
        for route in app.router.routes
        # The pages' own assets are left out too.
        if isinstance(route, Route) and route.path != "/graphql" and not route.path.startswith("/assets/")
        for method in (route.methods or ())
        if method != "HEAD"
    }
    written = {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert served == written


def valid(path: str, answer: httpx2.Response, method: str = "get") -> Any:
    """Check that the file allows this body for this status, and return it."""
    response = DOCUMENT["paths"][path][method]["responses"][str(answer.status_code)]
    schema = resolved(response)["content"]["application/json"]["schema"]
    return valid_as(schema, answer.json())


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    for name in part.get("$ref", "").split("/")[1:]:
        part = (DOCUMENT if name == "components" else part)[name]
    return part


def valid_as(schema: dict[str, Any], body: Any) -> Any:
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema_rs.Draft202012Validator(whole).validate(body)
    return body


def operations() -> list[tuple[str, str]]:
    return [
        (path, method) for path, methods in DOCUMENT["paths"].items() if path != ENDLESS for method in methods
    ]


@pytest.mark.parametrize(("path", "method"), operations(), ids=lambda part: part)
async def test_every_answer_to_generated_requests_matches_the_file(
    app: Starlette, house: House, bearer: Callable[[Actor], dict[str, str]], path: str, method: str
) -> None:
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method]
    headers = bearer(await house.account("MANAGER"))
    # A request without parameters cannot have wrong ones.
    asks = {"parameters", "requestBody"} & DOCUMENT["paths"][path][method].keys()

    def ask(base_url: str, mode: GenerationMode) -> None:
        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def conforms(case: schemathesis.Case) -> None:
            signed_in = {} if path.startswith("/auth") or path == "/metrics" else headers
            answer = case.call(base_url=base_url, headers=signed_in, timeout=60)
            case.validate_response(answer, checks=CHECKS)

        conforms()

    async with listening(app) as host:
        for mode in MODES if asks else MODES[:1]:
            await asyncio.to_thread(ask, f"http://{host}", mode)


async def test_a_devices_day_matches_the_file(desk: Desk) -> None:
    client, headers = desk.client, desk.headers
    customer = desk.operation(input={"id": str(new_id()), "name": "Demo"})
    batch = [customer, desk.operation(input={"name": []}), desk.operation(number=9), {"number": 5}, "x"]
    body = {"device": desk.device, "schema": 2, "operations": batch}
    for _ in range(2):
        answer = valid("/sync/push", await desk.send(orjson.dumps(body)), "post")
    assert [one["status"] for one in answer["outcomes"]][:3] == ["duplicate", "rejected", "parked"]
    lost = orjson.dumps(body | {"epoch": str(new_id())})
    assert valid("/sync/push", await desk.send(lost), "post")["resync"] is True

    who = {"customerId": customer["input"]["id"], "name": "Demo"}
    contact = await desk.house.run("createContact", **who)
    page = valid("/sync/pull", await desk.pull(limit=1))
    assert page["more"] is True
    whole = valid("/sync/pull", await desk.pull())
    assert {change["entity"] for change in whole["changes"]} >= {"Customer", "Conflict"}
    assert valid("/sync/pull", await desk.pull(cursor="none"))["resync"] is True
    await desk.house.run("deleteContact", contactId=contact.id)
    behind = {"cursor": whole["cursor"]}
    for path in ("/sync/checksums", "/sync/repair"):
        answered = await client.get(path, params=behind | {"entity": "Customer"}, headers=headers)
        assert valid(path, answered) == {"current": False}
    after = valid("/sync/pull", await desk.pull(cursor=whole["cursor"]))
    assert [change for change in after["changes"] if "removed" in change]
    now = {"cursor": after["cursor"], "entity": "Conflict"}
    sums = valid("/sync/checksums", await client.get("/sync/checksums", params=now, headers=headers))
    assert sums["entities"]["Conflict"]["count"] == 1
    rows = valid("/sync/repair", await client.get("/sync/repair", params=now, headers=headers))
    assert len(rows["changes"]) == 1
    assert valid("/sync/contract", await client.get("/sync/contract", headers=headers))["protocol"] == 1


async def test_refusals_match_the_file(desk: Desk) -> None:
    client, headers = desk.client, desk.headers
    for path in ("/sync/pull", "/sync/stream", "/sync/checksums", "/sync/repair", "/sync/contract"):
        answers = [await client.get(path), await client.get(path, headers={"Authorization": "Bearer x"})]
        assert [valid(path, one)["error"]["code"] for one in answers] == ["UNAUTHENTICATED", "TOKEN_INVALID"]
    wrong = await client.get("/sync/stream", params={"device": "x"}, headers=headers)
    assert valid("/sync/stream", wrong)["error"]["field"] == "device"
    for content, more, status in (
        (b"{", {}, 400),
        (b" " * 9_000_000, {}, 413),
        (b"{}", {"Content-Encoding": "br"}, 415),
    ):
        answer = await client.post("/sync/push", content=content, headers=headers | more)
        assert answer.status_code == status
        valid("/sync/push", answer, "post")


async def test_signing_in_matches_the_file(client: httpx2.AsyncClient, house: House) -> None:
    email = f"{new_id()}@demo.example"
    await house.account("TECHNICIAN", email=email, password=PASSWORD)
    form = {"grant_type": "password", "username": email, "password": PASSWORD, "device": str(new_id())}
    tokens = valid("/auth/token", await client.post("/auth/token", data=form), "post")
    renewal = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    valid("/auth/token", await client.post("/auth/token", data=renewal), "post")
    for wrong in (
        {},
        {"grant_type": "magic"},
        form | {"password": "wrong"},
        renewal | {"refresh_token": "x"},
    ):
        answer = await client.post("/auth/token", data=wrong)
        assert answer.status_code == 400
        assert isinstance(valid("/auth/token", answer, "post")["error"], str)
    answer = await client.post("/auth/wiped", data={"refresh_token": "x"})
    assert valid("/auth/wiped", answer, "post")["error"] == "invalid_grant"


async def test_stream_events_match_the_pages_of_the_file(desk: Desk) -> None:
    await desk.push(desk.operation())
    async with listening(desk.client._transport.app) as host:  # type: ignore[attr-defined]
        url = f"http://{host}/sync/stream"
        async with httpx2.AsyncClient() as caller, caller.stream("GET", url, headers=desk.headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                if line.startswith("data: "):
                    page = valid_as({"$ref": "#/components/schemas/Page"}, orjson.loads(line[6:]))
                    break
    assert page["changes"]
