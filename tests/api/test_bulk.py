"""Many commands in one request."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.support.ask import answer, ask
from tests.support.house import House
from tournee.api.bulk import MOST_COMMANDS
from tournee.customers.models import Contact, Customer

BULK = """mutation($commands: [BulkCommand!]!, $policy: ErrorPolicy!) {
  bulk(commands: $commands, policy: $policy) {
    record {__typename id ... on Customer {name version}} refusal {code field current {version}}}}"""


async def bulk(house: House, policy: str, *commands: Any, _as: Any = "MANAGER") -> list[Any]:
    found: list[Any] = (await ask(house, BULK, _as, policy=policy, commands=list(commands)))["bulk"]
    return found


def contact(customer: Any, name: str = "Demo") -> dict[str, Any]:
    return {"createContact": {"customerId": str(customer), "name": name}}


async def test_each_command_takes_effect_by_itself_and_sees_those_before_it(house: House) -> None:
    id = str(uuid4())
    made = {"createCustomer": {"id": id, "name": "Demo"}}
    found = await bulk(house, "EACH", made, contact(uuid4()), contact(id), contact(id, "x" * 300), made)
    assert [one["record"] and one["record"]["__typename"] for one in found] == [
        "Customer", None, "Contact", None, None,
    ]  # fmt: skip
    refusals = [one["refusal"] for one in found if one["refusal"]]
    assert [(one["code"], one["field"]) for one in refusals] == [
        ("NOT_FOUND", "customerId"),
        ("INVALID", "name"),
        ("INVALID", "id"),
    ]
    assert (len(await house.rows(Customer)), len(await house.rows(Contact))) == (1, 1)
    assert found[0]["record"]["version"] == await house.seq() - 1


async def test_one_refusal_undoes_all(house: House) -> None:
    customer = (await house.run("createCustomer", name="Demo")).id
    before = await house.seq()
    for wrong in (contact(uuid4()), contact(customer, "x" * 300)):
        found = await bulk(house, "ALL_OR_NOTHING", contact(customer), wrong, contact(customer))
        codes = [one["refusal"]["code"] for one in found]
        assert codes in (["UNIT_REFUSED", code, "UNIT_REFUSED"] for code in ("NOT_FOUND", "INVALID"))
    assert await house.seq() == before
    found = await bulk(house, "ALL_OR_NOTHING", contact(customer), contact(customer))
    assert all(one["record"] for one in found)


async def test_a_bulk_needs_each_commands_permission_and_version(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo")
    change = {"updateCustomer": {"customerId": str(customer.id), "phone": "1", "expectedVersion": 0}}
    (stale,) = await bulk(house, "EACH", change)
    assert (stale["refusal"]["code"], stale["refusal"]["current"]["version"]) == ("STALE", await house.seq())
    (refused,) = await bulk(house, "EACH", {"createTerritory": {"name": "Demo"}}, _as="TECHNICIAN")
    assert refused["refusal"]["code"] == "FORBIDDEN"


async def test_a_bulk_has_a_limit(house: House) -> None:
    many = [{"createCustomer": {"name": "Demo"}}] * (MOST_COMMANDS + 1)
    assert (await answer(house, BULK, policy="EACH", commands=many)).codes == ["LIMIT_EXCEEDED"]
