"""The endpoint over HTTP: malformed requests, media types, and masked errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from tests.support.house import House
from tests.support.refusals import refusal
from tests.support.serving import door
from tournee.api.load import Load
from tournee.kernel.command import Kernel

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
        ("multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json", "multipart/mixed"),
        ("multipart/mixed;deferSpec=20220824,application/json", "application/json"),
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


async def test_apollo_reads_a_part_when_the_boundary_after_it_has_come(client: httpx2.AsyncClient) -> None:
    accept = {"accept": "multipart/mixed;boundary=graphql;subscriptionSpec=1.0,application/json"}
    found = await client.post("/graphql", json=ME, headers=accept)
    assert found.headers["content-type"] == 'multipart/mixed; boundary="graphql"; subscriptionSpec=1.0'
    before, part, after = found.text.split("\r\n--graphql")
    head, _, json = part.partition("\r\n\r\n")
    assert (before, head, after) == ("", "\r\nContent-Type: application/json", "--\r\n")
    assert orjson.loads(json) == {"payload": {"data": {"me": {"role": "MANAGER"}}}}


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
    assert (found.status_code, found.json()["data"]) == (200, None)
    (error,) = found.json()["errors"]
    assert error["path"] == ["accounts"]
    assert error["extensions"] == {"code": "FORBIDDEN", "scope": "accounts:read"}


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


QUERY = {"query": "query Named { customers { totalCount nodes { name } } }", "operationName": "Named"}


def lanes() -> dict[str, float]:
    """Return how many queries each lane has answered."""
    return {
        sample.labels["lane"]: sample.value
        for metric in REGISTRY.collect()
        if metric.name == "tournee_graphql_reads"
        for sample in metric.samples
        if sample.name.endswith("_total")
    }


async def counted(client: httpx2.AsyncClient, method: str = "POST", **options: Any) -> tuple[Any, list[str]]:
    """Send a request; return the answer, and the lanes that it was counted in."""
    before = lanes()
    found = await client.request(method, "/graphql", **options)
    return found, [lane for lane, value in lanes().items() if value > before.get(lane, 0)]


async def test_a_query_is_answered_by_the_engine_from_the_second_time(
    client: httpx2.AsyncClient, house: House
) -> None:
    await house.run("createCustomer", name="Demo")
    first, by = await counted(client, json=QUERY)
    assert by == ["executor_first"]
    for accept in ("application/json", "application/graphql-response+json"):
        second, by = await counted(client, json=QUERY, headers={"accept": accept})
        assert by == ["engine"]
        assert (second.status_code, second.json()) == (200, first.json())
        assert second.headers["content-type"] == f"{accept}; charset=utf-8"
    third, by = await counted(client, "GET", params=QUERY)
    assert (by, third.content) == (["engine"], first.content)


async def test_a_query_that_is_refused_is_refused_alike_every_time(client: httpx2.AsyncClient) -> None:
    refused = [
        {"query": "query ($n: Int!) { customers(first: $n) { totalCount } }", "variables": {"n": 501}},
        {"query": "query ($n: Int!) { customers(first: $n) { totalCount } }", "variables": {"n": "x"}},
        {"query": "query ($n: Int!) { customers(first: $n) { totalCount } }"},
        {"query": "query ($a: String) { customers(after: $a) { nodes { id } } }", "variables": {"a": "x"}},
        {"query": "{ customers { totalCount } } query B { customers { totalCount } }"},
        {"query": "query A { customers { totalCount } }", "operationName": "B"},
        {"query": "query ($s: Boolean!) { customers { nodes { history @skip(if: $s) { totalCount } } } }"},
        {"query": "{ accounts { totalCount } }"},
    ]
    dispatcher = {"authorization": "Bearer dispatcher"}
    for body in refused:
        answers = [(await counted(client, json=body, headers=dispatcher))[0] for _ in range(3)]
        assert "errors" in answers[0].json(), (body, answers[0].text)
        assert len({(one.status_code, one.content) for one in answers}) == 1, body


async def test_where_the_engine_fails_the_executor_answers(
    client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> Any:
        raise OSError("the connection is lost")

    first = await client.post("/graphql", json=QUERY)
    monkeypatch.setattr(Kernel, "ask", fail)
    second, by = await counted(client, json=QUERY)
    assert (by, second.content) == (["executor_failed"], first.content)


async def test_fields_with_resolvers_are_finished_by_the_engine(client: httpx2.AsyncClient) -> None:
    body = {"query": "{ customers { nodes { id } } workOrders { nodes { availableTransitions { to } } } }"}
    for expected in ("executor_first", "engine", "engine"):
        found, by = await counted(client, json=body)
        assert (found.status_code, by) == (200, [expected])
