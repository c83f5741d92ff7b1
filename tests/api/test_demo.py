"""The whole schema over the demo's rows: transitions, costs, and other organisations' rows."""

from __future__ import annotations

import typing
from typing import Any
from uuid import uuid4

import pytest
from graphql import GraphQLEnumType, GraphQLObjectType, GraphQLScalarType, get_named_type
from sqlalchemy import select

from tests.support.ask import ask, statements
from tests.support.demo import Rehearsal, samples
from tests.support.house import House
from tests.support.inputs import entity_of, is_id, outcome, required, value
from tournee.api.nodes import plural, relation_name, singular
from tournee.api.schema import schema
from tournee.auth.roles import Role
from tournee.catalogue import COMMANDS, ENTITIES
from tournee.kernel.fields import camel, fields
from tournee.kernel.registry import BY_TABLE
from tournee.procedures.queries import run_transitions
from tournee.quality.queries import audit_transitions
from tournee.work.guards import order_transitions, visit_transitions

pytestmark = pytest.mark.prove_on("postgresql", "The same rules on the other database.")

TRANSITIONS = "{%s(first: 500){nodes{id availableTransitions{to allowed blockedBy}}}}"


@pytest.mark.slow("It tries every step from every state of the demo.")
async def test_transitions_of_many_rows_equal_those_of_each_row(
    houses: tuple[House, House],
) -> None:
    house = houses[0]
    guards: dict[str, Any] = {
        "Appointment": visit_transitions,
        "WorkOrder": order_transitions,
        "ChecklistRun": run_transitions,
        "Audit": audit_transitions,
    }
    for name, guard in guards.items():
        found = await ask(house, TRANSITIONS % plural(name))
        nodes = {node["id"]: node["availableTransitions"] for node in found[plural(name)]["nodes"]}
        assert nodes
        model: Any = ENTITIES[name]
        async with house.reading() as session:
            rows = (
                await session.scalars(select(model).where(model.organisation_id == house.organisation_id))
            ).all()
            for row in rows:
                (following,) = await guard(session, house.actor("MANAGER"), [row])
                expected = [
                    {"to": one.to, "allowed": one.allowed, "blockedBy": one.blocked_by} for one in following
                ]
                assert nodes[str(row.id)] == expected


def everything(kind: GraphQLObjectType, depth: int = 2) -> str:
    """Return all fields of a type and of the types it leads to, without connections."""
    parts = []
    for name, definition in kind.fields.items():
        inner = get_named_type(definition.type)
        if isinstance(inner, (GraphQLScalarType, GraphQLEnumType)):
            parts.append(name)
        elif isinstance(inner, GraphQLObjectType) and not definition.args and depth:
            parts.append(f"{name}{{{everything(inner, depth - 1)}}}")
    return " ".join(parts) or "__typename"


def relations(kind: GraphQLObjectType, depth: int = 2) -> int:
    inner = [get_named_type(one.type) for one in kind.fields.values() if not one.args]
    objects = [one for one in inner if isinstance(one, GraphQLObjectType)]
    return len(objects) + sum(relations(one, depth - 1) for one in objects if depth)


@pytest.mark.slow("A query for each field of the schema.")
async def test_no_field_costs_a_statement_per_row(houses: tuple[House, House]) -> None:
    house = houses[0]
    core = schema()._schema
    for name in ENTITIES:
        kind: Any = core.type_map[name]
        with statements(house) as sent:
            found = await ask(house, f"{{{plural(name)}{{nodes{{{everything(kind)}}}}}}}")
        rows = len(found[plural(name)]["nodes"])
        assert len(sent) <= 7 + relations(kind), f"{name}: {len(sent)} for {rows} rows"
        # Some fields take several statements for any number of rows, so more than ten rows are needed.
        if rows > 10:
            assert len(sent) < 5 * rows


@pytest.mark.slow("A query for each connection of the schema.")
async def test_no_connection_costs_a_statement_per_row(
    houses: tuple[House, House],
) -> None:
    house = houses[0]
    for name in ENTITIES:
        kind: Any = schema()._schema.type_map[name]
        lists = [field for field, one in kind.fields.items() if "first" in one.args]
        inside = " ".join(f"{field}(first:3){{totalCount edges{{cursor node{{id}}}}}}" for field in lists)
        with statements(house) as sent:
            await ask(house, f"{{{plural(name)}{{nodes{{id {inside}}}}}}}")
        # One statement for the page, one for the count of each list, one for the log's epoch.
        assert len(sent) <= 2 + 2 * len(lists), name


@pytest.mark.slow("A query for each field that takes an id.")
async def test_another_organisations_row_is_not_found(houses: tuple[House, House]) -> None:
    ours, theirs = houses
    foreign = await samples(theirs)
    assert set(foreign) == set(ENTITIES)
    for role in (Role.MANAGER, Role.TECHNICIAN):
        for name, id in foreign.items():
            if not ours.actor(role).may(ENTITIES[name].reads):
                continue
            document = (
                f"query($id: ID!){{{singular(name)}(id:$id){{id}} node(id:$id){{id}}"
                f" {plural(name)}(filter:{{id:{{eq:$id}}}}){{totalCount nodes{{id}}}}}}"
            )
            theirs_answer = await ask(ours, document, role, id=str(id))
            assert theirs_answer == await ask(ours, document, role, id=str(uuid4())), name
            assert theirs_answer[singular(name)] is None
    log = await ask(
        ours,
        "query($ids:[ID!]){changes(filter:{recordId:{in:$ids}}){totalCount}}",
        ids=[str(id) for id in foreign.values()],
    )
    assert log["changes"]["totalCount"] == 0


async def test_a_command_answers_another_organisations_id_like_an_unknown_one(
    houses: tuple[House, House],
) -> None:
    ours, theirs = houses
    own, foreign = await samples(ours), await samples(theirs)
    ours.kernel = Rehearsal(ours.database, ours.kernel.rules)
    told = 0
    for command in COMMANDS.values():
        hints = typing.get_type_hints(command.input, include_extras=True)
        for name, annotation in hints.items():
            target = entity_of(command, name)
            if not is_id(annotation) or target not in foreign:
                continue
            base = {
                camel(other): str(own[of])
                for other, kind in hints.items()
                if is_id(kind) and (of := entity_of(command, other)) in own and required(command, other)
            }
            answers = [
                await outcome(ours, command, {**base, camel(name): value(annotation, id)})
                for id in (foreign[target], uuid4())
            ]
            assert answers[0] == answers[1], (command.name, name)
            told += answers[0][0] == "NOT_FOUND"
    assert told > 100


def test_every_reference_has_a_relation() -> None:
    for name, entity in ENTITIES.items():
        kind: Any = schema()._schema.type_map[name]
        for one in fields(entity):
            if one.references is not None:
                relation = kind.fields[relation_name(one.name, BY_TABLE[one.references])]
                assert str(relation.type) == BY_TABLE[one.references].__name__, (name, one.name)
