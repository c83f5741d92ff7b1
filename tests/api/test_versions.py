"""Versions of records: who changed one last, and updates that expect a version."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.ask import answer, ask
from tests.support.house import House
from tests.support.world import World

READ = "query($id: ID!) {customer(id: $id) {version updatedAt updatedBy {id name}}}"
UPDATE = """mutation($input: UpdateCustomerInput!) {updateCustomer(input: $input) {
  ... on Customer {version phone}
  ... on Refusal {code field current {
    version updatedAt updatedBy {name} record {... on Customer {phone}}}}}}"""


async def update(house: House, _as: Any = "MANAGER", **input: Any) -> Any:
    return (await ask(house, UPDATE, _as, input=input))["updateCustomer"]


async def test_a_record_shows_its_version_and_who_changed_it(house: House) -> None:
    editor = await house.account("DISPATCHER")
    id = str((await house.run("createCustomer", name="Demo")).id)
    first = (await ask(house, READ, id=id))["customer"]
    await ask(house, UPDATE, editor, input={"customerId": id, "phone": "1"})
    second = (await ask(house, READ, "DISPATCHER", id=id))["customer"]
    assert (first["version"], second["version"]) == (await house.seq() - 1, await house.seq())
    assert second["updatedBy"] == {"id": str(editor.id), "name": "Demo Person"}
    assert second["updatedAt"] > first["updatedAt"]


async def test_an_update_of_another_version_is_refused_with_the_present_values(house: House) -> None:
    editor = await house.account("DISPATCHER")
    id = str((await house.run("createCustomer", name="Demo")).id)
    seen = (await ask(house, READ, id=id))["customer"]["version"]
    done = await update(house, editor, customerId=id, phone="1", expectedVersion=seen)
    assert (done["phone"], done["version"] > seen) == ("1", True)
    stale = await update(house, customerId=id, phone="2", expectedVersion=seen)
    assert (stale["code"], stale["field"]) == ("STALE", "expectedVersion")
    current = stale["current"]
    assert (current["version"], current["record"]["phone"]) == (done["version"], "1")
    assert current["updatedBy"] == {"name": "Demo Person"}
    again = await update(house, customerId=id, phone="2", expectedVersion=current["version"])
    assert again["phone"] == "2"


async def test_one_of_many_writers_with_the_same_version_wins(house: House) -> None:
    id = str((await house.run("createCustomer", name="Demo")).id)
    for round_ in range(3):
        version = (await ask(house, READ, id=id))["customer"]["version"]
        writers = (
            update(house, customerId=id, phone=f"{round_} {number}", expectedVersion=version)
            for number in range(6)
        )
        answers = await asyncio.gather(*writers)
        assert sorted(one.get("code", "won") for one in answers) == ["STALE"] * 5 + ["won"]


async def test_everybody_reads_the_names_of_people_on_their_records_and_no_more(house: House) -> None:
    world = await World(house).settle()
    technician = await world.technician()
    visit = await world.visit(technician)
    author = await house.account("DISPATCHER")
    note = await house.run("addNote", author, appointmentId=visit.id, text="Ring twice", internal=False)
    names = "query($id: ID!) {note(id: $id) {text author {id name} appointment {updatedBy {id}}}}"
    found = (await ask(house, names, technician.actor, id=str(note.id)))["note"]
    assert found["author"] == {"id": str(author.id), "name": "Demo Person"}
    for field in ("email", "role", "version", "updatedAt"):
        document = f"query($id: ID!) {{note(id: $id) {{text author {{name {field}}}}}}}"
        wrong = await answer(house, document, technician.actor, id=str(note.id))
        assert (wrong.codes, wrong.errors[0]["path"]) == (["FORBIDDEN"], ["note", "author", field])
