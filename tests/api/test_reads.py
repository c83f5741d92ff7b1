"""Reading through the schema: rows, relations, lists and their cost."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select

from tests.support.ask import answer, ask, give_scope, statements
from tests.support.house import House
from tournee.api.load import Load, readable
from tournee.customers.models import Customer
from tournee.kernel.entity import new_id
from tournee.operating.accounts import set_time_zone

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

NESTED = """
query ($customers: Int!) {
  customers(first: $customers, orderBy: [{name: ASC}]) {
    totalCount
    pageInfo { hasNextPage endCursor }
    nodes {
      name
      sites(first: 5, orderBy: [{name: DESC}]) {
        totalCount
        edges {
          cursor
          node { name customer { name } contacts { totalCount nodes { name site { customer { id } } } } }
        }
      }
    }
  }
}
"""


async def furnish(house: House, customers: int, sites: int = 3) -> None:
    for number in range(customers):
        customer = await house.run("createCustomer", name=f"Demo {number:03}")
        for place in range(sites):
            site = await house.run("createSite", customerId=customer.id, name=f"Site {place}")
            await house.run("createContact", customerId=customer.id, siteId=site.id, name="Demo Contact")


async def test_a_created_row_can_be_queried_with_its_relations(house: House) -> None:
    await furnish(house, 2)
    found = await ask(house, NESTED, customers=1)
    [customer] = found["customers"]["nodes"]
    assert found["customers"]["totalCount"] == 2
    assert found["customers"]["pageInfo"]["hasNextPage"] is True
    assert customer["name"] == "Demo 000"
    assert [edge["node"]["name"] for edge in customer["sites"]["edges"]] == ["Site 2", "Site 1", "Site 0"]
    assert customer["sites"]["totalCount"] == 3
    assert customer["sites"]["edges"][0]["node"]["customer"] == {"name": "Demo 000"}
    assert customer["sites"]["edges"][0]["node"]["contacts"]["totalCount"] == 1


async def test_the_number_of_statements_does_not_grow_with_the_rows(house: House) -> None:
    await furnish(house, 3)
    with statements(house) as few:
        await ask(house, NESTED, customers=30)
    await furnish(house, 27)
    with statements(house) as many:
        found = await ask(house, NESTED, customers=30)
    assert len(found["customers"]["nodes"]) == 30
    assert len(many) == len(few) <= 9, "\n".join(many)


async def test_the_same_list_under_two_aliases_is_two_lists(house: House) -> None:
    await furnish(house, 1)
    found = await ask(
        house,
        "{customers{nodes{one: sites(first:1){nodes{name}} two: sites(last:2){nodes{name}}}}}",
    )
    [customer] = found["customers"]["nodes"]
    assert [site["name"] for site in customer["one"]["nodes"]] == ["Site 0"]
    assert [site["name"] for site in customer["two"]["nodes"]] == ["Site 1", "Site 2"]


async def test_a_row_is_found_by_its_id_alone(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    found = await ask(
        house,
        "query($id: ID!){node(id:$id){__typename id ... on Customer{name}} customer(id:$id){name kind tags}}",
        id=str(customer.id),
    )
    assert found["node"] == {"__typename": "Customer", "id": str(customer.id), "name": "Demo Hotel"}
    assert found["customer"] == {"name": "Demo Hotel", "kind": "ORGANISATION", "tags": []}


@pytest.mark.parametrize("id", ["", "x", "4b0b5d5e-6a0c-4c8e-9d51-0f1f7a3c2b11", "0", "\u0000"])
async def test_an_unknown_id_finds_nothing(house: House, id: str) -> None:
    found = await ask(house, "query($id: ID!){node(id:$id){id} customer(id:$id){id}}", id=id)
    assert found == {"node": None, "customer": None}


async def test_a_technicians_list_leaves_out_invisible_rows(house: House) -> None:
    await furnish(house, 1)
    found = await ask(house, "{customers{totalCount nodes{id}} sites{totalCount nodes{id}}}", "TECHNICIAN")
    assert found == {"customers": {"totalCount": 0, "nodes": []}, "sites": {"totalCount": 0, "nodes": []}}


async def test_an_invisible_relation_is_null(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    site = await house.run("createSite", customerId=customer.id, name="Harbour")
    technician = house.actor("TECHNICIAN")
    await give_scope(house, technician, site.id)
    found = await ask(house, "{sites{nodes{name customerId customer{name}}}}", technician)
    assert found["sites"]["nodes"] == [{"name": "Harbour", "customerId": str(customer.id), "customer": None}]


async def test_a_nested_list_counts_only_visible_rows(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    sites = [await house.run("createSite", customerId=customer.id, name=f"Site {n}") for n in range(3)]
    technician = house.actor("TECHNICIAN")
    for scope in (customer.id, sites[1].id):
        await give_scope(house, technician, scope)
    found = await ask(house, "{customers{nodes{sites{totalCount nodes{name}}}}}", technician)
    assert found["customers"]["nodes"] == [{"sites": {"totalCount": 1, "nodes": [{"name": "Site 1"}]}}]


async def test_a_cancelled_read_does_not_disturb_the_others(house: House) -> None:
    await furnish(house, 1)
    load = Load(house.actor(), house.kernel.reading)
    for wait in (0.0, 0.0005, 0.002):
        reading = asyncio.create_task(load.rows(select(Customer)))
        await asyncio.sleep(wait)
        reading.cancel()
        assert len(await load.rows(select(Customer).where(readable(Customer, house.actor())))) == 1
    await load.close()


async def test_only_office_roles_read_a_records_history(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    await house.run("updateCustomer", customerId=customer.id, phone="2")
    document = (
        "query($id: ID!){customer(id:$id){history(orderBy:[{seq:DESC}],"
        'filter:{command:{eq:"updateCustomer"}})'
        "{totalCount nodes{seq command fields before after removed record cursor}}}}"
    )
    found = await ask(house, document, id=str(customer.id))
    [change] = found["customer"]["history"]["nodes"]
    assert (change["fields"], change["before"], change["after"]) == (
        ["phone"],
        {"phone": None},
        {"phone": "2"},
    )
    assert change["record"]["phone"] == "2"


async def test_me_returns_the_caller(house: House) -> None:
    found = await ask(house, "{me{accountId role seesAll scopes organisation{id name}}}", "TECHNICIAN")
    actor = house.actor("TECHNICIAN")
    assert found["me"]["accountId"] == str(actor.id)
    assert (found["me"]["role"], found["me"]["seesAll"]) == ("TECHNICIAN", False)
    assert "work:read" in found["me"]["scopes"]
    assert found["me"]["organisation"] == {"id": str(house.organisation_id), "name": "Test"}


async def test_me_is_a_person_in_a_time_zone(house: House) -> None:
    row, actor = await house.technician("Demo One")
    document = "{me{name email technician{id name} organisation{timeZone}}}"
    await set_time_zone(house.database, house.organisation_id, "Europe/Paris")
    me = (await ask(house, document, actor))["me"]
    assert (me["name"], me["technician"]) == ("Demo Person", {"id": str(row.id), "name": "Demo One"})
    assert me["email"].endswith("@demo.example")
    assert me["organisation"] == {"timeZone": "Europe/Paris"}
    office = await house.account("DISPATCHER")
    assert (await ask(house, document, office))["me"]["technician"] is None


async def test_a_page_above_the_maximum_size_is_refused(house: House) -> None:
    assert (await answer(house, "{customers(first:501){nodes{id}}}")).codes == ["LIMIT_EXCEEDED"]
    assert (await answer(house, "{customers(first:-1){nodes{id}}}")).codes == ["BAD_USER_INPUT"]
    assert (await answer(house, "{customers(first:1,last:1){nodes{id}}}")).codes == ["BAD_USER_INPUT"]


async def test_an_unknown_id_returns_null(house: House) -> None:
    assert (await ask(house, "query($id:ID!){site(id:$id){id}}", id=str(new_id()))) == {"site": None}
