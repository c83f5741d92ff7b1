"""Operations that cannot be applied are in the inbox; those that only look odd are applied."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from tests.support.desk import Desk
from tournee.kernel.conflict import Conflict
from tournee.kernel.entity import new_id

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

NOTE = "Demo: gas leak found"


async def inbox(desk: Desk) -> list[Conflict]:
    async with desk.house.reading() as session:
        own = Conflict.organisation_id == desk.house.organisation_id
        return list(await session.scalars(select(Conflict).where(own).order_by(Conflict.id)))


MALFORMED: list[tuple[dict[str, Any], list[str]]] = [
    ({"occurredAt": "2026-11-28T10:00:00"}, ["occurredAt"]),
    ({"base": 5.5}, ["base"]),
    ({"number": 17.5}, ["number"]),
    ({"number": True}, ["number"]),
    ({"id": "x", "unit": 7, "occurredAt": "now"}, ["id", "occurredAt", "unit"]),
    ({"command": ..., "occurredAt": ...}, ["command", "occurredAt"]),
    ({"surplus": 1, "base": "5"}, ["base", "surplus"]),
]


@pytest.mark.parametrize(("changed", "fields"), MALFORMED, ids=range(len(MALFORMED)))
async def test_a_malformed_operation_is_in_the_inbox_with_every_fault(
    desk: Desk,
    changed: dict[str, Any],
    fields: list[str],
) -> None:
    sent = desk.operation(input={"name": NOTE}, **changed)
    conflicts = []
    for _ in range(2):
        (outcome,) = await desk.push(sent)
        assert (outcome["status"], outcome["code"], sorted(outcome["fields"])) == (
            "rejected", "INVALID", fields
        )  # fmt: skip
        assert all(f"{field}: " in outcome["message"] for field in fields)
        conflicts.append(outcome["conflict"])
    (entry,) = await inbox(desk)
    assert conflicts == [str(entry.id)] * 2, "a resent operation has the same entry"
    assert (entry.kind, entry.role, entry.theirs["code"]) == ("OPERATION_REJECTED", "DISPATCHER", "INVALID")
    assert entry.mine["operations"] == [sent]
    assert entry.mine["final"] is True, "it can only be done again"
    # Its number is used up in any case.
    assert (await desk.push(desk.operation(number=30)))[0]["status"] in ("applied", "parked")


@pytest.mark.parametrize("text", ["a\x00b", {"name": [1]}, 7])
async def test_an_invalid_input_is_in_the_inbox(desk: Desk, text: Any) -> None:
    (outcome,) = await desk.push(desk.operation(input={"name": text, "kind": "ROCKET", "phone": NOTE}))
    assert (outcome["status"], outcome["code"]) == ("rejected", "INVALID")
    assert sorted(outcome["fields"]) == ["kind", "name"]
    (entry,) = await inbox(desk)
    assert str(entry.id) == outcome["conflict"]
    assert entry.mine["operations"][0]["input"]["phone"] == NOTE


async def test_an_operation_with_a_used_id_is_in_the_inbox(desk: Desk) -> None:
    one = desk.operation()
    again = one | {"input": {"name": NOTE}, "number": desk.operation()["number"]}
    for _ in range(2):
        outcomes = await desk.push(one, again)
        assert [outcome["code"] for outcome in outcomes] == [None, "OPERATION_REUSED"]
    later = one | {"input": {"name": "Demo later"}}
    assert [outcome["code"] for outcome in await desk.push(later)] == ["OPERATION_REUSED"]
    entries = [entry.mine["operations"] for entry in await inbox(desk)]
    # The ids of entries have no order.
    assert sorted(entries, key=lambda operations: operations[0]["number"]) == [[later], [again]]


async def test_an_unused_number_or_a_non_operation_makes_no_inbox_entry(desk: Desk) -> None:
    await desk.push(desk.operation())
    outcomes = await desk.push({"number": desk.operation()["number"]}, 7, "x", None, [])
    assert {outcome["code"] for outcome in outcomes} == {"INVALID"}
    assert await inbox(desk) == []


async def test_a_float_without_a_fraction_counts_as_an_integer(desk: Desk) -> None:
    """Some JSON writers have only floating-point numbers."""
    site = str(new_id())
    made = desk.operation(
        command="createSite", input={"id": site, "customerId": str(new_id()), "name": "Demo"}
    )
    customer = desk.operation(input={"id": made["input"]["customerId"], "name": "Demo"})
    for operation in (customer, made):
        operation["base"] = 0.0
    customer["number"], made["number"] = 1.0, 2.0
    visit = {"latitude": 52, "longitude": 13.0}
    made["input"] |= visit
    body = {"device": desk.device, "schema": 2.0, "operations": [customer, made]}
    answer = await desk.send(json.dumps(body))
    assert [one["status"] for one in answer.json()["outcomes"]] == ["applied", "applied"]
    assert answer.json()["nextNumber"] == 3
    # The same number as another writer writes it.
    outcomes = await desk.push(customer | {"number": 1, "base": 0}, made | {"number": 2, "base": 0}, schema=2)
    assert [one["status"] for one in outcomes] == ["duplicate", "duplicate"]
    assert await inbox(desk) == []


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        (r"gas leak \ud83d", "gas leak �"),
        (r"\udd25 \ud83d\udd25", "� \N{FIRE}"),
        (r"\ud83d\uD83D\uDD25", "�\N{FIRE}"),
        (r"\\ud83d \\\ud83d", r"\ud83d " + "\\�"),
    ],
    ids=range(4),
)
async def test_half_an_emoji_in_a_text_is_replaced(desk: Desk, written: str, kept: str) -> None:
    body = json.dumps({"device": desk.device, "operations": [desk.operation(input={"name": "NAME"})]})
    answer = await desk.send(body.replace("NAME", written))
    (outcome,) = answer.json()["outcomes"]
    assert (outcome["status"], outcome["record"]["name"]) == ("applied", kept)


async def test_half_an_emoji_in_graphql_is_refused_with_a_code(desk: Desk) -> None:
    made = (
        '{"query": "mutation M($n: String!) { createCustomer(input: {name: $n}) { __typename ... on Refusal'
    )
    made += ' { code } } }", "variables": {"n": "\\ud800"}}'
    asked = '{"query": "query Q($n: String!) { customers(filter: {name: {contains: $n}}) { nodes { id } } }",'
    asked += ' "variables": {"n": "\\ud800"}}'
    headers = desk.headers | {"Content-Type": "application/json"}
    answers = [await desk.client.post("/graphql", content=body, headers=headers) for body in (made, asked)]
    assert [answer.status_code < 500 for answer in answers] == [True, True]
    assert not any("INTERNAL" in answer.text for answer in answers), [one.text for one in answers]
    assert await desk.customers() == 0
