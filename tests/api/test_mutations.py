"""Commands as mutations."""

from __future__ import annotations

from uuid import uuid4

from tests.support.ask import answer, ask
from tests.support.house import House

CREATE = """
mutation ($input: CreateCustomerInput!) {
  createCustomer(input: $input) {
    __typename
    ... on Customer { id name tags kind sites { totalCount } }
    ... on Refusal { code message field }
  }
}
"""


async def test_a_command_returns_the_row(house: House) -> None:
    id = str(uuid4())
    found = await ask(house, CREATE, input={"name": "Demo Hotel", "id": id, "tags": ["a"], "kind": "PERSON"})
    assert found["createCustomer"] == {
        "__typename": "Customer",
        "id": id,
        "name": "Demo Hotel",
        "tags": ["a"],
        "kind": "PERSON",
        "sites": {"totalCount": 0},
    }


async def test_a_refusal_is_returned_as_data_and_names_the_field(house: House) -> None:
    found = await ask(house, CREATE, input={"name": "x" * 201})
    assert found["createCustomer"]["__typename"] == "Refusal"
    assert (found["createCustomer"]["code"], found["createCustomer"]["field"]) == ("INVALID", "name")
    found = await ask(house, CREATE, input={"name": "Demo", "id": "nobody"})
    assert found["createCustomer"]["code"] == "INVALID"


WRONG = "{ ... on Refusal { code field errors { field code } } }"


async def test_a_refusal_names_every_wrong_field(house: House) -> None:
    nobody = str(uuid4())
    wrong = {"name": "x" * 201, "phone": "\0", "customerId": nobody}
    found = await ask(
        house, f"mutation($i: CreateContactInput!) {{createContact(input: $i) {WRONG}}}", i=wrong
    )
    assert found["createContact"] == {
        "code": "INVALID",
        "field": "name",
        "errors": [{"field": one, "code": "INVALID"} for one in ("name", "phone")],
    }
    site = {"name": "Demo", "customerId": nobody, "territoryId": nobody}
    found = await ask(house, f"mutation($i: CreateSiteInput!) {{createSite(input: $i) {WRONG}}}", i=site)
    named = {one["field"]: one["code"] for one in found["createSite"]["errors"]}
    assert named == {"customerId": "NOT_FOUND", "territoryId": "NOT_FOUND"}
    customer = await house.run("createCustomer", name="Demo")
    site = {"name": "Demo", "customerId": str(customer.id), "timeZone": "Nowhere", "latitude": 1.5}
    found = await ask(house, f"mutation($i: CreateSiteInput!) {{createSite(input: $i) {WRONG}}}", i=site)
    assert [one["field"] for one in found["createSite"]["errors"]] == ["timeZone", "longitude"]


async def test_an_absent_field_stays_and_null_clears_it(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel", phone="1", email="a@demo.example")
    document = """mutation ($input: UpdateCustomerInput!) {
      updateCustomer(input: $input) { ... on Customer { name phone email } ... on Refusal { code } } }"""
    found = await ask(house, document, input={"customerId": str(customer.id), "phone": None})
    assert found["updateCustomer"] == {"name": "Demo Hotel", "phone": None, "email": "a@demo.example"}


async def test_mutations_of_one_document_run_in_order_and_see_each_other(house: House) -> None:
    customer, site = str(uuid4()), str(uuid4())
    found = await ask(
        house,
        """mutation ($customer: ID!, $site: ID!) {
          createCustomer(input: {id: $customer, name: "Demo"}) { ... on Customer { sites { totalCount } } }
          createSite(input: {id: $site, customerId: $customer, name: "Harbour"}) {
            ... on Site { customer { name sites { totalCount } } } }
          refused: createSite(input: {id: $site, customerId: $customer, name: "Again"}) {
            ... on Refusal { code } } }""",
        customer=customer,
        site=site,
    )
    assert found["createCustomer"]["sites"]["totalCount"] == 0
    assert found["createSite"]["customer"] == {"name": "Demo", "sites": {"totalCount": 1}}
    assert found["refused"]["code"] in ("INVALID", "CONFLICT")


async def test_a_delete_returns_the_deleted_row(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo Hotel")
    contact = await house.run("createContact", customerId=customer.id, name="Demo Contact")
    found = await ask(
        house,
        "mutation($id: ID!){deleteContact(input:{contactId:$id}){... on Contact{id name customer{name}}}}",
        id=str(contact.id),
    )
    assert found["deleteContact"]["name"] == "Demo Contact"
    assert (await ask(house, "query($id:ID!){contact(id:$id){id}}", id=str(contact.id)))["contact"] is None


async def test_a_role_without_the_permission_is_refused_before_anything_runs(house: House) -> None:
    found = await answer(house, CREATE, "TECHNICIAN", input={"name": "Demo Hotel"})
    assert found.data is None
    assert found.codes == ["FORBIDDEN"]
    assert (await ask(house, "{customers{totalCount}}"))["customers"]["totalCount"] == 0
