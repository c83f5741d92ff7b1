"""The merge history of a record, field by field."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.support.ask import answer, ask, statements
from tests.support.clashes import Clashes
from tests.support.device import TestDevice
from tests.support.house import House
from tests.support.world import World
from tournee.kernel.conflict import FIELD_CHANGED_BY_BOTH

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

DOCUMENT = (Path(__file__).parents[2] / "schema" / "operations" / "record_history.graphql").read_text()


async def history(house: House, id: Any, _as: Any = "DISPATCHER", **more: Any) -> Any:
    found = (await ask(house, DOCUMENT, _as, id=str(id), **more))["history"]
    return found and found["nodes"]


@pytest.fixture
async def clashes(house: House) -> Clashes:
    return await Clashes(await World(house).settle()).begin()


async def test_the_history_shows_a_conflict_and_its_decision_field_by_field(clashes: Clashes) -> None:
    conflict = await clashes.of(FIELD_CHANGED_BY_BOTH)
    await clashes.resolve(conflict, "KEEP_THEIRS", note="Demo")
    decided, mine, theirs, *_, created = await history(clashes.house, clashes.order.id)
    assert [(one["command"], one["outcome"], one["merged"]) for one in (decided, mine, theirs, created)] == [
        ("updateWorkOrder", None, False),
        ("updateWorkOrder", "merged", True),
        ("updateWorkOrder", None, False),
        ("createWorkOrder", None, False),
    ]
    assert mine["fieldChanges"] == [
        {"field": "symptom", "policy": "LAST_ARRIVAL", "before": "theirs", "after": "mine"},
        {"field": "cause", "policy": "LAST_ARRIVAL", "before": "theirs", "after": "mine"},
    ]
    assert (mine["actorId"], mine["actorName"]) == (str(clashes.device.actor.id), "Demo Person")
    assert (mine["deviceId"], theirs["deviceId"]) == (str(clashes.device.id), None)
    assert [one["conflict"] and one["conflict"]["id"] for one in (decided, mine, theirs, created)] == [
        *[str(conflict.id)] * 3,
        None,
    ]
    assert mine["conflict"]["note"] == "Demo"


async def test_the_history_of_one_field_can_be_paged(clashes: Clashes) -> None:
    await clashes.of(FIELD_CHANGED_BY_BOTH)
    await clashes.office("updateWorkOrder", workOrderId=clashes.order.id, symptom="third", priority="HIGH")
    found = await history(clashes.house, clashes.order.id, field="symptom")
    values = [[one["after"] for one in change["fieldChanges"]] for change in found]
    assert values == [["third"], ["mine"], ["theirs"], [None]]
    page = """query($id:ID!,$after:String){history(id:$id,field:"symptom",first:2,after:$after){
      nodes{seq} pageInfo{hasNextPage endCursor}}}"""
    first = (await ask(clashes.house, page, "DISPATCHER", id=str(clashes.order.id)))["history"]
    assert first["pageInfo"]["hasNextPage"] is True
    after = first["pageInfo"]["endCursor"]
    second = (await ask(clashes.house, page, "DISPATCHER", id=str(clashes.order.id), after=after))["history"]
    seqs = [node["seq"] for node in (*first["nodes"], *second["nodes"])]
    assert seqs == [change["seq"] for change in found]
    wrong = await answer(clashes.house, DOCUMENT, "DISPATCHER", id=str(clashes.order.id), field="symp")
    assert wrong.codes == ["BAD_USER_INPUT"]


async def test_a_deleted_record_keeps_its_history(clashes: Clashes) -> None:
    await clashes.office("deleteContact", contactId=clashes.contact.id)
    (last, *_) = await history(clashes.house, clashes.contact.id, field="deleted")
    assert last["fieldChanges"] == [{"field": "deleted", "policy": None, "before": False, "after": True}]


async def test_only_office_roles_read_history_and_only_of_readable_records(clashes: Clashes) -> None:
    technician = await answer(clashes.house, DOCUMENT, clashes.technician.actor, id=str(clashes.order.id))
    assert set(technician.codes) == {"FORBIDDEN"}
    # A dispatcher may not read accounts, and nobody reads another organisation's order.
    assert await history(clashes.house, clashes.technician.actor.id) is None
    assert await history(clashes.house, clashes.technician.actor.id, "MANAGER") is not None
    other = await House(clashes.house.database).found()
    for id in (clashes.order.id, uuid4(), "nonsense"):
        assert await history(other, id) is None


async def test_the_number_of_statements_does_not_grow_with_the_changes(clashes: Clashes) -> None:
    counted = []
    for times in (1, 5):
        for _ in range(times):
            other = TestDevice(clashes.house, actor=await clashes.house.account("DISPATCHER"))
            await other.pull()
            await clashes.office("updateWorkOrder", workOrderId=clashes.order.id, symptom=str(uuid4()))
            await other.do("updateWorkOrder", workOrderId=clashes.order.id, symptom=str(uuid4()))
        with statements(clashes.house) as sent:
            await history(clashes.house, clashes.order.id, "MANAGER")
        counted.append(len(sent))
    assert counted[0] == counted[1] <= 8
