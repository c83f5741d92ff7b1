"""Which introspection queries are answered, and how large they may be."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import httpx2
import pytest
from graphql import execute_sync, get_introspection_query, parse

from tests.support.ask import answer, ask
from tests.support.house import House
from tests.support.serving import door
from tournee.api import introspection
from tournee.api.limits import MOST_DEPTH
from tournee.api.schema import schema

FULL = get_introspection_query(
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
    one_of=True,
)


@pytest.fixture(scope="module")
def database_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """SQLite only: nothing here reads rows."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('described') / 'tournee.db')}"


def client(house: House, **settings: bool) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=door(house, **settings))
    headers = {"authorization": "Bearer manager"}
    return httpx2.AsyncClient(transport=transport, base_url="http://demo", headers=headers)


@pytest.mark.parametrize("query", [get_introspection_query(), get_introspection_query(type_depth=12), FULL])
async def test_introspection_queries_of_tools_are_answered_in_full(house: House, query: str) -> None:
    described = (await ask(house, query))["__schema"]
    assert {one["name"] for one in described["types"]} == set(schema()._schema.type_map)


async def test_introspection_may_be_deeper_than_other_fields(house: House) -> None:
    depth = MOST_DEPTH + 3
    types = "ofType{" * depth + "name" + "}" * depth
    assert await ask(house, f'{{__type(name:"Query"){{{types}}}}}') == {"__type": {"ofType": None}}
    described = f"{{__schema{{queryType{{...T}}}}}} fragment T on __Type{{{types}}}"
    assert await ask(house, described) == {"__schema": {"queryType": {"ofType": None}}}


async def test_an_introspection_answer_is_cached(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def execute(*args: Any, **options: Any) -> Any:
        asked.append(args)
        return execute_sync(*args, **options)

    monkeypatch.setattr(introspection, "execute_sync", execute)
    introspection._ANSWERS.clear()
    for _ in range(3):
        for name in "ab":
            await ask(house, f"query {name}{{__schema{{queryType{{name}}}}}}")
    assert len(asked) == 2
    # Only a few answers are cached, each for its variables.
    query = 'query($d:Boolean){__type(name:"Query"){fields(includeDeprecated:$d){name}}}'
    for deprecated in (True, False, True):
        await ask(house, query, d=deprecated)
    assert (len(asked), len(introspection._ANSWERS)) == (4, introspection._KEPT)


async def test_other_requests_are_served_during_introspection(house: House) -> None:
    introspection._ANSWERS.clear()
    asking = asyncio.create_task(ask(house, FULL))
    turns = 0
    while not asking.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 50, "the loop was blocked"
    await asking


async def test_introspection_that_is_off_is_refused_with_a_code(house: House) -> None:
    async with client(house, introspection=False) as caller:
        for query in ("{__schema{queryType{name}}}", '{me{id} ...{__type(name:"Query"){name}}}', FULL):
            found = await caller.post("/graphql", json={"query": query})
            [error] = found.json()["errors"]
            assert (error["extensions"]["code"], found.json().get("data")) == ("INTROSPECTION_OFF", None)
        named = await caller.post("/graphql", json={"query": "{__typename me{__typename}}"})
        assert named.json() == {"data": {"__typename": "Query", "me": {"__typename": "Me"}}}
    async with client(house, introspection=True) as caller:
        found = await caller.post("/graphql", json={"query": FULL})
        assert found.json()["data"]["__schema"]["queryType"]["name"] == "Query"


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        ("{me{role} __schema{queryType{name}}}", []),
        ('{me{role} __type(name:"Query"){fields{name}}}', []),
        ("{me{role} ...{__schema{types{name}}}}", []),
        ("{me{role} __schema{types{name kind}}}", ["LIMIT_EXCEEDED"]),
        ("{me{role} ...F} fragment F on Query{__schema{types{name kind}}}", ["LIMIT_EXCEEDED"]),
        ("query A{__schema{types{name kind}}}", []),
        ("query A{__schema{types{fields{type{fields{name}}}}}}", ["LIMIT_EXCEEDED"]),
        ("query A{__schema{types{inputFields{type{ofType{inputFields{type{name}}}}}}}}", ["LIMIT_EXCEEDED"]),
    ],
)
async def test_introspection_beside_other_fields_is_limited(
    house: House, query: str, codes: list[str]
) -> None:
    assert (await answer(house, query)).codes == codes


def values(data: Any) -> int:
    """Return how many values an answer holds; each field of an object is one."""
    if isinstance(data, dict):
        return len(data) + sum(map(values, data.values()))
    return sum(map(values, data)) if isinstance(data, list) else 0


_TYPE = "kind name ofType{kind name ofType{kind name ofType{kind name ofType{kind name}}}}"
MEASURED = [
    FULL,
    "{__schema{types{name}}}",
    f"{{__schema{{directives{{name args{{name type{{{_TYPE}}}}}}}}}}}",
    "{__schema{queryType{name fields{name args{name}}}}}",
    f"{{__schema{{mutationType{{fields{{args{{type{{{_TYPE}}}}}}}}}}}}}",
    '{__type(name:"Node"){possibleTypes{name interfaces{name}}}}',
    '{__type(name:"Query"){fields{type{fields{name}}}}}',
    '{__type(name:"CustomerFilter"){inputFields{name type{inputFields{name}}}}}',
    "{__schema{types{enumValues{name} interfaces{possibleTypes{name}}}}}",
    "{__schema{types{...A ...A}}} fragment A on __Type{a:name fields{...B}} fragment B on __Field{name}",
]


@pytest.mark.parametrize("query", MEASURED)
def test_an_introspection_answer_is_never_larger_than_counted(query: str) -> None:
    core = schema()._schema
    document = parse(query)
    [counted] = introspection.asked(core, document).values()
    assert counted.alone
    result = execute_sync(core, document)
    assert not result.errors
    assert values(result.data) <= counted.values * 1.0001


def test_the_count_is_close_when_all_types_are_asked_for() -> None:
    core = schema()._schema
    query = "{__schema{types{name fields{name args{name}} inputFields{name} enumValues{name}}}}"
    [counted] = introspection.asked(core, parse(query)).values()
    # Lists of names without deprecated ones; interfaces are listed with their fields.
    assert values(execute_sync(core, parse(query)).data) > counted.values * 0.9
