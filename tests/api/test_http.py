"""The endpoint over HTTP: malformed requests, media types, and masked errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.support.house import House
from tests.support.refusals import refusal
from tests.support.serving import door
from tournee.api.load import Load

ME = {"query": "{me{role}}"}
MANAGER = {"authorization": "Bearer manager"}


@pytest_asyncio.fixture
async def client(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=door(house))
    async with httpx2.AsyncClient(transport=transport, base_url="http://demo", headers=MANAGER) as opened:
        yield opened


async def test_a_post_is_answered(client: httpx2.AsyncClient) -> None:
    found = await client.post("/graphql", json=ME)
    assert (found.status_code, found.json()) == (200, {"data": {"me": {"role": "MANAGER"}}})
    assert found.headers["content-type"] == "application/json; charset=utf-8"


async def test_a_get_may_query_but_not_mutate(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/graphql", params=ME)).json() == {"data": {"me": {"role": "MANAGER"}}}
    mutation = 'mutation{createCustomer(input:{name:"Demo"}){__typename}}'
    refused = await client.get("/graphql", params={"query": mutation})
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


async def test_a_request_without_a_token_is_unauthenticated(client: httpx2.AsyncClient) -> None:
    found = await client.post("/graphql", json=ME, headers={"authorization": ""})
    assert refusal(found) == (401, "UNAUTHENTICATED")


BODIES: list[bytes] = [
    b"", b"null", b"5", b'"x"', b"[]", b"[1]", b'[{"query":"{me{role}}"}]', b"{", b"\xff\xfe", b"{}",
    b'{"query":5}', b'{"query":null}', b'{"query":""}', b'{"query":[]}',
    b'{"query":"{me{role}}","variables":[1]}',
    b'{"query":"{me{role}}","variables":"x"}', b'{"query":"{me{role}}","extensions":[]}',
    b'{"query":"{me{role}}","operationName":5}', b'{"query":"\\ud800"}', b"[" * 3000,
]  # fmt: skip


@pytest.mark.parametrize("body", BODIES)
async def test_a_malformed_request_is_refused_with_a_code(client: httpx2.AsyncClient, body: bytes) -> None:
    found = await client.post("/graphql", content=body, headers={"content-type": "application/json"})
    assert found.status_code == 400
    assert found.json()["errors"][0]["extensions"]["code"] in ("BAD_REQUEST", "MALFORMED")


async def test_a_request_has_at_most_a_megabyte(client: httpx2.AsyncClient) -> None:
    json = {"content-type": "application/json"}
    for spaces, status in ((1_000_000, 200), (1_100_000, 413)):
        body = b'{"query":"{me{role}}"' + b" " * spaces + b"}"
        assert (await client.post("/graphql", content=body, headers=json)).status_code == status


@pytest.mark.parametrize("filler", ["#", '"""', " "])
async def test_a_document_over_the_size_limit_is_refused_unread(
    client: httpx2.AsyncClient, filler: str
) -> None:
    document = "{me{role}}" + filler + "x" * 100_000
    found = await client.post("/graphql", json={"query": document})
    assert refusal(found) == (413, "LIMIT_EXCEEDED")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json; charset=utf-16"}, 415),
        ({"content-type": "application/json; charset=utf-8"}, 200),
        ({"content-type": "application/json", "accept": "image/png"}, 406),
        ({"content-type": "application/json", "accept": "text/html"}, 406),
        ({"content-type": "application/json", "accept": "application/json;q=oops"}, 406),
    ],
)
async def test_unsupported_media_types_are_refused(
    client: httpx2.AsyncClient, headers: dict[str, str], status: int
) -> None:
    found = await client.post("/graphql", content=b'{"query":"{me{role}}"}', headers=headers)
    assert found.status_code == status


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("application/graphql-response+json", "application/graphql-response+json"),
        ("application/json;q=0.5, application/graphql-response+json", "application/graphql-response+json"),
        ("*/*", "application/json"),
        ("text/html, application/json;q=0.9", "application/json"),
        (
            "application/graphql-response+json, application/json, text/event-stream, multipart/mixed",
            "application/graphql-response+json",
        ),
        ("text/event-stream, multipart/mixed", "text/event-stream"),
        ("text/event-stream, application/json", "text/event-stream"),
    ],
)
async def test_the_answer_has_the_type_the_client_prefers(
    client: httpx2.AsyncClient, accept: str, media: str
) -> None:
    found = await client.post("/graphql", json=ME, headers={"accept": accept})
    assert found.headers["content-type"].split(";")[0] == media


async def test_a_query_as_an_event_stream_is_one_event(client: httpx2.AsyncClient) -> None:
    found = await client.post("/graphql", json=ME, headers={"accept": "text/event-stream"})
    assert found.text.endswith(
        'event: next\ndata: {"data":{"me":{"role":"MANAGER"}}}\n\nevent: complete\ndata: \n\n'
    )
    assert "\r" not in found.text


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("{", 400, "GRAPHQL_PARSE_FAILED"),
        ("{nothing}", 400, "GRAPHQL_VALIDATION_FAILED"),
        ("query($x:Int!){customers(first:$x){nodes{id}}}", 400, "GRAPHQL_VALIDATION_FAILED"),
        ("query A{me{role}} query B{me{id}}", 400, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription{changes{seq}}", 406, "NOT_ACCEPTABLE"),
        ("fragment F on Me{role}", 400, "BAD_REQUEST"),
        ("{customers(first:1000){nodes{id}}}", 200, "LIMIT_EXCEEDED"),
    ],
)
async def test_errors_have_a_status_and_a_code(
    client: httpx2.AsyncClient, query: str, status: int, code: str
) -> None:
    headers = {"accept": "application/graphql-response+json"}
    found = await client.post("/graphql", json={"query": query}, headers=headers)
    assert found.status_code == status
    assert found.json()["errors"][0]["extensions"]["code"] == code
    assert ("data" in found.json()) is (status == 200)


async def test_a_missing_permission_is_forbidden(client: httpx2.AsyncClient) -> None:
    found = await client.post(
        "/graphql",
        json={"query": "{accounts{nodes{id}}}"},
        headers={"authorization": "Bearer dispatcher", "accept": "application/graphql-response+json"},
    )
    assert found.status_code == 403
    assert found.json()["errors"][0]["extensions"] == {"code": "FORBIDDEN", "scope": "accounts:read"}


async def test_an_unexpected_error_is_masked_and_logged(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("the password is demo")

    monkeypatch.setattr(Load, "page", broken)
    found = await client.post("/graphql", json={"query": "{customers{nodes{id}}}"})
    [error] = found.json()["errors"]
    assert error["message"] == "Something went wrong on our side."
    assert error["extensions"]["code"] == "INTERNAL"
    assert "password" not in found.text
    logged = capsys.readouterr().out
    assert error["extensions"]["id"] in logged
    assert "the password is demo" in logged
