"""The read engine answers as the executor does, or leaves the answer to it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from graphql import get_named_type, is_leaf_type
from sqlalchemy import String, type_coerce

from tests.support.ask import give_scope, statements
from tests.support.comparing import Comparing
from tests.support.demo import demo_house
from tests.support.hostile_rows import TEXTS, Hostility, copy_of
from tests.support.house import House
from tests.support.postgres import ROOT
from tests.support.questions import Asking, Query, Values
from tournee.api.context import Context
from tournee.api.mapping import Column, Computed, Person, Recorded, ToMany, ToOne, source_of
from tournee.api.nodes import plural
from tournee.api.reading.engine import Reads
from tournee.api.reading.plans import PLAN_BYTES, Plans
from tournee.api.requests import Asked
from tournee.api.schema import schema
from tournee.auth.roles import Role
from tournee.catalogue import ENTITIES
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.command import Kernel
from tournee.kernel.log import Change

ROLES = [Role.MANAGER, Role.TECHNICIAN, *Role]
# For each role in turn; more with READS=2000.
QUERIES = int(os.environ.get("READS", "80"))

BOARD = (ROOT / "schema" / "operations" / "dispatch_board.graphql").read_text("utf-8")

_HOSTILE: dict[str, House] = {}
ANOTHER_ROLE = pytest.mark.prove_on("postgresql", "One more role on the other database.")


@pytest_asyncio.fixture
async def hostile(database: Database) -> AsyncIterator[House]:
    """Return the demo's organisation with hostile values, made once for the module."""
    if database.url not in _HOSTILE:
        house = await demo_house(await House(database).found())
        await Hostility(1).into(house)
        _HOSTILE[database.url] = house
    house = _HOSTILE[database.url]
    house.database = database
    house.kernel = Kernel(database, house.kernel.rules)
    yield house


async def values_of(house: House) -> Values:
    ids = [str(row.id) for model in ENTITIES.values() for row in (await house.rows(model))[:3]]
    return Values(ids, texts=TEXTS)


def cursors_in(data: Any) -> list[str]:
    """Return the cursors in an answer."""
    if isinstance(data, dict):
        own = [one for name, one in data.items() if name.lower().endswith("cursor") and isinstance(one, str)]
        return own + [found for one in data.values() for found in cursors_in(one)]
    return [found for one in data for found in cursors_in(one)] if isinstance(data, list) else []


@pytest.mark.slow("Some hundred generated queries, each asked twice.")
async def test_generated_queries_are_answered_alike(hostile: House) -> None:
    comparing, values = Comparing(hostile), await values_of(hostile)
    asking = Asking(schema()._schema, values, seed=int(os.environ.get("SEED", "1")))
    for number in range(QUERIES):
        actor = hostile.actor(ROLES[number % len(ROLES)])
        found = await comparing.compare(asking.query(), actor)
        values.cursors = (values.cursors + cursors_in(found.data))[-300:]
    assert comparing.lanes["engine"] > QUERIES / 3
    assert comparing.lanes["left"] < QUERIES / 4


def every_field(name: str) -> str:
    """Return all columns of an entity, and of each relation and list its id."""
    kind: Any = schema()._schema.type_map[name]
    parts = []
    for field, definition in kind.fields.items():
        source = source_of(definition)
        if isinstance(source, Column | Recorded):
            parts.append(field)
        elif isinstance(source, Person):
            parts.append(f"{field} {{ id name }}")
        elif isinstance(source, ToOne):
            parts.append(f"{field} {{ id }}")
        elif isinstance(source, ToMany):
            # The id of a change is made of the log's epoch.
            key = "seq" if source.child is Change else "id"
            parts.append(f"{field}(first: 2) {{ totalCount edges {{ cursor node {{ {key} }} }} }}")
    return " ".join(parts)


def computed_fields(name: str) -> list[str]:
    """Return each field of an entity that has a resolver, with what can be asked of its value."""
    kind: Any = schema()._schema.type_map[name]
    fields = {
        field: get_named_type(one.type)
        for field, one in kind.fields.items()
        if isinstance(source_of(one), Computed)
    }
    return [field if is_leaf_type(one) else f"{field} {{ {leaves(one)} }}" for field, one in fields.items()]


def leaves(kind: Any) -> str:
    """Return the fields of a type that hold no objects."""
    named = ((name, get_named_type(one.type), one.args) for name, one in kind.fields.items())
    return " ".join(["__typename", *(name for name, one, args in named if is_leaf_type(one) and not args)])


@pytest.mark.slow("All fields of all entities.")
@pytest.mark.parametrize("role", [Role.MANAGER, pytest.param(Role.TECHNICIAN, marks=ANOTHER_ROLE)])
async def test_every_mapped_field_is_answered_by_the_engine(hostile: House, role: Role) -> None:
    comparing, actor = Comparing(hostile), hostile.actor(role)
    for name, entity in ENTITIES.items():
        if actor.may(entity.reads):
            text = f"{{ {plural(name)}(first: 20) {{ nodes {{ {every_field(name)} }} }} }}"
            found = await comparing.compare(Query(text, {}), actor)
            assert found.errors or found.data
    assert not comparing.lanes["left"]
    if role is Role.MANAGER:
        assert comparing.lanes == {"engine": len(ENTITIES)}


@pytest.mark.slow("Each field that has a resolver, on its own.")
@pytest.mark.parametrize("role", [Role.MANAGER, Role.TECHNICIAN])
async def test_every_computed_field_is_answered_by_the_engine(hostile: House, role: Role) -> None:
    comparing, actor = Comparing(hostile), hostile.actor(role)
    asked = 0
    for name, entity in ENTITIES.items():
        for one in computed_fields(name) if actor.may(entity.reads) else []:
            await comparing.compare(
                Query(f"{{ {plural(name)}(first: 20) {{ nodes {{ {one} }} }} }}", {}), actor
            )
            asked += 1
    # Hostile values make some resolvers fail; the executor then reports the errors.
    assert not comparing.lanes["left"]
    assert comparing.lanes["engine"] > asked / 2


TRANSITIONS = "{ appointments(first: 50) { nodes { availableTransitions { to allowed blockedBy } } } }"


@pytest.mark.slow("It fills the demo.")
async def test_the_board_and_its_transitions_cost_few_statements(house: House) -> None:
    comparing, actor = Comparing(await demo_house(house)), house.actor("DISPATCHER")
    for text, most in ((BOARD, 6), (TRANSITIONS, 4)):
        with statements(house) as sent:
            found = await comparing.engine(text, actor, {})
        (plan, *_) = reversed(comparing.reads.plans._kept.values())
        assert plan is not None
        assert len(found["appointments"]["nodes"]) > 5
        assert len(plan.questions) + len(sent) <= most, sent
        await comparing.compare(Query(text, {}), actor)
    assert comparing.lanes == {"engine": 2}


PAGE = """
query ($first: Int, $after: String, $order: [AssetOrder!]) {
  assets(first: $first, after: $after, orderBy: $order) {
    nodes { id name }
    pageInfo { hasNextPage endCursor }
  }
}
"""


@pytest.mark.parametrize(
    "order", [None, [{"serialNumber": "DESC"}], [{"installedOn": "ASC"}, {"name": "DESC"}], [{"kind": "ASC"}]]
)
async def test_pages_are_alike_and_share_their_plans(hostile: House, order: Any) -> None:
    comparing, after, pages = Comparing(hostile), None, 0
    while True:
        variables = {"first": 1, "after": after, "order": order}
        found = await comparing.compare(Query(PAGE, variables), hostile.actor("MANAGER"))
        pages += 1
        after = found.data["assets"]["pageInfo"]["endCursor"]
        if not found.data["assets"]["pageInfo"]["hasNextPage"]:
            break
    assert comparing.lanes == {"engine": pages}
    # The first page has no cursor; of the others, the nulls in the cursor count.
    assert pages > 4
    assert len(comparing.reads.plans) <= 1 + 2 ** len(order or [])


async def test_lists_of_any_length_share_few_plans(hostile: House) -> None:
    comparing = Comparing(hostile)
    ids = [str(row.id) for row in await hostile.rows(ENTITIES["Asset"])]
    text = "query ($ids: [ID!]) { assets(filter: {id: {in: $ids}}) { nodes { id } } }"
    for length in [*range(20), 500, 999]:
        given = (ids * 1000)[:length]
        await comparing.compare(Query(text, {"ids": given}), hostile.actor("MANAGER"))
    assert comparing.lanes["engine"] == 21
    assert len(comparing.reads.plans) <= 9


@pytest.mark.parametrize("role", [Role.MANAGER, Role.TECHNICIAN])
async def test_a_plan_shows_nothing_of_another_organisation_with_the_same_ids(
    hostile: House, role: Role
) -> None:
    other = await copy_of(hostile, uuid4())
    assets: Any = ENTITIES["Asset"].__table__
    async with hostile.database.writing(ACROSS) as session:
        theirs = assets.c.organisation_id == other.organisation_id
        await session.execute(assets.update().where(theirs).values(name="theirs"))
        await session.commit()
    text = (
        """{ assets { totalCount nodes { id name site { name assets { totalCount nodes { name } } } } } }"""
    )
    comparing = Comparing(hostile)
    actor = hostile.actor(role)
    own = await comparing.engine(text, actor, {})
    foreign = await comparing.engine(text, replace(actor, organisation_id=other.organisation_id), {})
    assert len(comparing.reads.plans) == 1
    assert own["assets"]["totalCount"] == foreign["assets"]["totalCount"] > 0
    assert "theirs" not in str(own)
    assert {node["name"] for node in foreign["assets"]["nodes"]} == {"theirs"}
    for node in foreign["assets"]["nodes"]:
        assert all(
            one["name"] == "theirs" for one in (node["site"] or {"assets": {"nodes": []}})["assets"]["nodes"]
        )


async def test_what_the_executor_would_refuse_for_its_rows_is_left_to_it(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo")
    comparing, actor = Comparing(house), house.actor("MANAGER")
    queries = [
        Query("{ customers { nodes { id kind } } }", {}),
        Query("{ customers { nodes { id sites { nodes { id } } kind } } }", {}),
    ]
    for query in queries:
        await comparing.compare(query, actor)
    assert comparing.lanes == {"engine": 2}
    table: Any = ENTITIES["Customer"].__table__
    async with house.database.writing(ACROSS) as session:
        await session.execute(
            table.update().where(table.c.id == customer.id).values(kind=type_coerce("NONSENSE", String))
        )
        await session.commit()
    for query in queries:
        found = await comparing.compare(query, actor)
        assert found.codes == ["INTERNAL"]


async def test_an_operation_that_may_read_too_much_is_left_to_the_executor(hostile: House) -> None:
    comparing, actor = Comparing(hostile), hostile.actor("MANAGER")
    for first, lane in ((99, "engine"), (500, "left")):
        text = f"{{ customers(first: {first}) {{ nodes {{ sites(first: {first}) {{ nodes {{ id }} }} }} }} }}"
        await comparing.compare(Query(text, {}), actor)
        assert comparing.lanes[lane] == 1


async def test_what_is_deleted_or_no_longer_visible_leaves_a_kept_plan(house: House) -> None:
    comparing, portal = Comparing(house), house.actor("CUSTOMER_PORTAL")
    text = "{ customers { totalCount nodes { name } } }"
    row = await house.run("createCustomer", name="Demo")
    nothing = {"customers": {"totalCount": 0, "nodes": []}}
    assert await comparing.engine(text, portal, {}) == nothing
    await give_scope(house, portal, row.id)
    one = {"customers": {"totalCount": 1, "nodes": [{"name": "Demo"}]}}
    assert await comparing.engine(text, portal, {}) == one
    assert await comparing.engine(text, house.actor("CUSTOMER_PORTAL", id=uuid4()), {}) == nothing
    async with house.database.writing(ACROSS) as session:
        table: Any = ENTITIES["Customer"].__table__
        await session.execute(table.update().where(table.c.id == row.id).values(deleted=True))
        await session.commit()
    assert await comparing.engine(text, portal, {}) == nothing
    assert len(comparing.reads.plans) == 1


async def test_documents_and_plans_are_bounded(house: House) -> None:
    comparing, actor = Comparing(house), house.actor("MANAGER")
    comparing.reads.plans = Plans(most=5 * 2 * PLAN_BYTES)
    for number in range(20):
        assert await comparing.engine(f"{{ a{number}: customers {{ totalCount }} }}", actor, {}) is not None
    assert 1 < len(comparing.reads.plans) < 10
    # A document that is asked once gets no plan.
    reads = Reads(house.kernel, schema()._schema)
    for number in range(20):
        asked = Asked(f"{{ b{number}: customers {{ totalCount }} }}", {}, None)
        assert await reads.answer(asked, Context(house.kernel, actor, comparing.feed)) is None
    assert len(reads.plans) == 0


async def test_a_withheld_field_is_compared_by_nobody_who_may_not_read_it(house: House) -> None:
    comparing, portal = Comparing(house), house.actor("CUSTOMER_PORTAL")
    for given in ('filter: {notes: {contains: "x"}}', "orderBy: [{notes: ASC}]"):
        text = f"{{ customers({given}) {{ nodes {{ id }} }} }}"
        assert (await comparing.compare(Query(text, {}), portal)).codes == ["BAD_USER_INPUT"]
        await comparing.compare(Query(text, {}), house.actor("MANAGER"))
    assert comparing.lanes == {"refused": 2, "engine": 2}
