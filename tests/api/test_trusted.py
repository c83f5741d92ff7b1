"""Documents named by their hash: trusted ones, and those that clients register."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import orjson
import pytest

from tests.support.house import House
from tests.support.refusals import refusal
from tests.support.serving import door, served
from tests.support.sockets import connected, hear, say
from tournee import shipped
from tournee.api.http import trusted
from tournee.api.http.trusted import Registered, hashed, trusted_documents

QUERY = "{ me { role } }"
FOUND = {"data": {"me": {"role": "MANAGER"}}}
EVENTS = {"accept": "text/event-stream"}


@asynccontextmanager
async def client_of(house: House, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=door(house, **settings))
    headers = {"authorization": "Bearer manager"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://demo", headers=headers) as client:
        yield client


def persisted(text: str, **more: Any) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hashed(text)}}, **more}


async def test_a_client_registers_a_document_and_then_sends_its_hash(house: House) -> None:
    async with client_of(house) as client:
        unknown = await client.post("/graphql", json=persisted(QUERY))
        assert refusal(unknown) == (200, "PERSISTED_QUERY_NOT_FOUND")
        assert unknown.json()["errors"][0]["message"] == "PersistedQueryNotFound"
        assert (await client.post("/graphql", json=persisted(QUERY, query=QUERY))).json() == FOUND
        assert (await client.post("/graphql", json=persisted(QUERY))).json() == FOUND
        by_id = {"documentId": f"sha256:{hashed(QUERY)}"}
        assert (await client.post("/graphql", json=by_id)).json() == FOUND
        assert (await client.get("/graphql", params=by_id)).json() == FOUND
        extensions = orjson.dumps(persisted(QUERY)["extensions"]).decode()
        assert (await client.get("/graphql", params={"extensions": extensions})).json() == FOUND


async def test_a_document_is_not_kept_under_the_hash_of_another(house: House) -> None:
    async with client_of(house) as client:
        poison = persisted(QUERY, query="{ me { accountId } }")
        assert refusal(await client.post("/graphql", json=poison)) == (400, "BAD_REQUEST")
        unknown = await client.post("/graphql", json=persisted(QUERY))
        assert refusal(unknown) == (200, "PERSISTED_QUERY_NOT_FOUND")


@pytest.mark.parametrize(
    "body",
    [
        {"documentId": 5}, {"documentId": "x"}, {"documentId": f"md5:{'0' * 32}"},
        {"documentId": f"sha256:{'g' * 64}"}, {"extensions": {"persistedQuery": 5}},
        {"extensions": {"persistedQuery": {"version": 2, "sha256Hash": "0" * 64}}},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": ["0" * 64]}}},
    ],
)  # fmt: skip
async def test_a_malformed_hash_is_refused(house: House, body: Any) -> None:
    async with client_of(house) as client:
        for query in ({}, {"query": QUERY}):
            assert refusal(await client.post("/graphql", json={**body, **query})) == (400, "BAD_REQUEST")


async def test_only_trusted_documents_run_where_that_is_set(house: House, tmp_path: Path) -> None:
    (tmp_path / "own.graphql").write_text(f"{QUERY}\n")
    other = "{ me { accountId } }"
    settings = {"trusted_only": True, "trusted_documents": tmp_path}
    async with client_of(house, **settings) as client:
        assert (await client.post("/graphql", json={"query": QUERY})).json() == FOUND
        assert (await client.post("/graphql", json=persisted(QUERY))).json() == FOUND
        for body in ({"query": other}, persisted(other), persisted(other, query=other)):
            for headers in ({}, EVENTS):
                found = await client.post("/graphql", json=body, headers=headers)
                assert refusal(found) == (403, "DOCUMENT_NOT_TRUSTED")
        assert refusal(await client.get("/graphql", params={"query": other})) == (403, "DOCUMENT_NOT_TRUSTED")
    async with served(door(house, **settings)) as address, connected(address) as socket:
        for id, payload in (("1", {"query": other}), ("2", persisted(other)), ("3", persisted(QUERY))):
            await say(socket, type="subscribe", id=id, payload=payload)
        answers = {message["id"]: message for message in [await hear(socket) for _ in range(3)]}
        assert answers["3"]["payload"] == FOUND
        for id in "12":
            assert answers[id]["payload"][0]["extensions"]["code"] == "DOCUMENT_NOT_TRUSTED"


def test_our_own_clients_documents_are_trusted(tmp_path: Path) -> None:
    (tmp_path / "persisted.json").write_bytes(orjson.dumps({"abc": QUERY}))
    known = trusted_documents(tmp_path)
    assert known[hashed(QUERY)] == QUERY
    own = (shipped.folder("schema") / "operations" / "who_am_i.graphql").read_text()
    assert known[hashed(own)] == own


def test_an_account_that_registers_too_much_drops_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trusted, "MOST_EACH", 3)
    registered = Registered(most=100)
    us, them = uuid4(), uuid4()
    quiet, loud, other = (us, uuid4()), (us, uuid4()), (them, uuid4())
    registered.keep(quiet, "quiet", "q" * 10)
    registered.keep(other, "other", "o" * 10)
    for number in range(5):
        registered.keep(loud, f"loud{number}", "l" * 10)
    assert [registered.find(quiet, f"loud{number}") is None for number in range(5)] == [True] * 2 + [
        False
    ] * 3
    assert registered.find(loud, "quiet") == "q" * 10
    assert registered.find(other, "quiet") is None
    # What is too much for all comes from the one who takes most.
    for number in range(3):
        registered.keep((them, uuid4()), f"large{number}", "x" * 30)
    assert registered.find(quiet, "quiet") is not None
    assert sum(registered._totals.values()) <= 100
    assert registered._totals.keys() == {us, them}
