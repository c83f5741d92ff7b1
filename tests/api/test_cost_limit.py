"""An operation's cost is the rows that it asks for, and has a limit."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from graphql import parse

from tests.support.house import House
from tests.support.serving import door
from tournee.api.documents import prepare
from tournee.api.http.costs import costs
from tournee.api.schema import schema

NESTED = """query ($n: Int = 3) {
  customers(first: 10) { nodes { id sites(first: $n) { edges { node { id customer { id } } } } } } }"""
SPREAD = """{ a: customers(first: 2) { ...P } b: customers(first: 3) { ...P } }
fragment P on CustomerConnection { nodes { sites(first: 4) { nodes { id } } } }"""


def cost(document: str, **variables: Any) -> int:
    prepared = prepare(schema()._schema, document)
    assert not prepared.errors, prepared.errors
    return prepared.cost(None, variables)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{ me { role } }", 1),
        ("{ customers { totalCount } }", 50),
        ("{ customers(last: 7) { nodes { id name } } }", 7),
        ("{ customers(first: -1) { nodes { id } } }", 0),
        (NESTED, 10 + 10 * 3 * 2),
        (SPREAD, 5 + 5 * 4),
    ],
)
def test_a_cost_counts_the_rows_asked_for(document: str, expected: int) -> None:
    assert cost(document) == expected


def test_a_variable_counts_with_its_value() -> None:
    assert (cost(NESTED, n=5), cost(NESTED, n=None), cost(NESTED, n="x")) == (110, 1010, 10)
    # GraphQL takes such a number for an Int; and JSON has no exact number of the last cost.
    assert (cost(NESTED, n=5.0), cost(NESTED, n=float("inf")), cost(NESTED, n=2**60)) == (110, 10, 2**53 - 1)


def test_a_fragment_is_counted_once() -> None:
    chain = "".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }} " for n in range(40))
    document = parse("{ ...F0 } " + chain + "fragment F40 on Query { me { role } }")
    assert costs(schema()._schema, document)[None].of({}) == 2**40


async def test_a_request_may_ask_what_it_costs_and_both_lanes_say_the_same(house: House) -> None:
    transport = httpx2.ASGITransport(app=door(house, cost_limit=100))
    headers = {"authorization": "Bearer manager"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://demo", headers=headers) as client:
        asking = {"query": NESTED, "extensions": {"cost": True}}
        for _ in range(3):
            found = (await client.post("/graphql", json=asking)).json()
            assert found["extensions"] == {"cost": {"requested": 70, "limit": 100}}
            assert list((await client.post("/graphql", json={"query": NESTED})).json()) == ["data"]
        refused = (await client.post("/graphql", json={"query": NESTED, "variables": {"n": 5}})).json()
        [error] = refused["errors"]
        assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "cost": {"requested": 110, "limit": 100}}
