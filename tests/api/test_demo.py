"""The whole schema over the demo's rows: what may follow, what everything costs, what is another's."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from graphql import GraphQLEnumType, GraphQLObjectType, GraphQLScalarType, get_named_type
from sqlalchemy import select

from tests.api.ask import answer, ask, statements
from tests.api.demo import Rehearsal, demo_house, samples
from tests.house import House
from tournee.api.nodes import plural, singular
from tournee.api.schema import schema
from tournee.auth.roles import Role
from tournee.catalogue import COMMANDS, ENTITIES
from tournee.engine.database import Database
from tournee.kernel.command import Command, Kernel
from tournee.kernel.fields import camel, fields
from tournee.kernel.registry import BY_TABLE
from tournee.procedures.queries import run_transitions
from tournee.quality.queries import audit_transitions
from tournee.work.guards import order_transitions, visit_transitions

_HOUSES: dict[str, tuple[House, House]] = {}


@pytest_asyncio.fixture
async def houses(database: Database) -> AsyncIterator[tuple[House, House]]:
    """Ours and theirs; made once for the module, nothing here changes them for good."""
    if database.url not in _HOUSES:
        _HOUSES[database.url] = (
            await demo_house(await House(database).found()),
            await demo_house(await House(database).found()),
        )
    pair = _HOUSES[database.url]
    for house in pair:
        house.database = database
        house.kernel = Kernel(database, house.kernel.rules)
    yield pair


TRANSITIONS = "{%s(first: 500){nodes{id availableTransitions{to allowed blockedBy}}}}"


@pytest.mark.slow("It tries every step from every state of the demo.")
async def test_what_may_follow_for_many_rows_is_what_the_domains_guards_say_of_each(
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
    """All fields of a type, and those of the types they lead to, without connections."""
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
async def test_no_field_of_any_entity_costs_a_statement_for_each_row(houses: tuple[House, House]) -> None:
    house = houses[0]
    core = schema()._schema
    for name in ENTITIES:
        kind: Any = core.type_map[name]
        with statements(house) as sent:
            found = await ask(house, f"{{{plural(name)}{{nodes{{{everything(kind)}}}}}}}")
        rows = len(found[plural(name)]["nodes"])
        assert len(sent) <= 7 + relations(kind), f"{name}: {len(sent)} for {rows} rows"
        # Some fields take several statements however many rows there are; more than ten rows tell.
        if rows > 10:
            assert len(sent) < 5 * rows


@pytest.mark.slow("A query for each connection of the schema.")
async def test_no_connection_of_any_entity_costs_a_statement_for_each_row(
    houses: tuple[House, House],
) -> None:
    house = houses[0]
    for name in ENTITIES:
        kind: Any = schema()._schema.type_map[name]
        lists = [field for field, one in kind.fields.items() if "first" in one.args]
        inside = " ".join(f"{field}(first:3){{totalCount edges{{cursor node{{id}}}}}}" for field in lists)
        with statements(house) as sent:
            await ask(house, f"{{{plural(name)}{{nodes{{id {inside}}}}}}}")
        # A page and a count for each list; the log's cursors need no more.
        assert len(sent) <= 1 + 2 * len(lists), name


@pytest.mark.slow("A query for each field that takes an id.")
async def test_a_row_of_another_organisation_is_not_there(houses: tuple[House, House]) -> None:
    ours, theirs = houses
    foreign = await samples(theirs)
    assert set(foreign) == set(ENTITIES)
    for role in (Role.MANAGER, Role.TECHNICIAN):
        for name, id in foreign.items():
            document = (
                f"query($id: ID!){{{singular(name)}(id:$id){{id}} node(id:$id){{id}}"
                f" {plural(name)}(filter:{{id:{{eq:$id}}}}){{totalCount nodes{{id}}}}}}"
            )
            theirs_answer = await ask(ours, document, role, id=str(id))
            assert theirs_answer == await ask(ours, document, role, id=str(uuid4())), name
            assert theirs_answer[singular(name)] is None
    log = await ask(
        ours,
        "query($ids:[ID!]){changes(filter:{id:{in:$ids}}){totalCount}}",
        ids=[str(id) for id in foreign.values()],
    )
    assert log["changes"]["totalCount"] == 0


# Names of id fields in inputs that are not `<table>Id`.
_ALSO = {
    "run_id": "ChecklistRun",
    "version_id": "ChecklistVersion",
    "template_id": "ChecklistTemplate",
    "standard_id": "QualityStandard",
    "clause_id": "StandardClause",
    "finding_id": "AuditFinding",
    "holder_technician_id": "Technician",
    "billing_customer_id": "Customer",
    "lead_auditor_id": "Account",
    "auditee_responsible_id": "Account",
    "to_technician_id": "Technician",
    "from_technician_id": "Technician",
    "checklist_version_id": "ChecklistVersion",
    "standard_clause_id": "StandardClause",
}


def entity_of(command: Command[Any, Any], name: str) -> str | None:
    if name in ("parent_id", "corrects_id"):
        return command.output.__name__
    if name == "corrects":
        return command.output.__name__
    table = name.removesuffix("_id").removesuffix("_ids")
    if table in BY_TABLE:
        return BY_TABLE[table].__name__
    return _ALSO.get(name)


def is_id(annotation: Any) -> bool:
    return "uuid.UUID" in str(annotation) or annotation is UUID


async def test_a_command_answers_an_id_of_another_organisation_as_one_that_is_nowhere(
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


def required(command: Command[Any, Any], name: str) -> bool:
    one = next(one for one in dataclasses.fields(command.input) if one.name == name)
    return one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING


def value(annotation: Any, id: UUID) -> Any:
    return [str(id)] if "list[" in str(annotation) else str(id)


async def outcome(house: House, command: Command[Any, Any], given: dict[str, Any]) -> tuple[Any, ...]:
    """What becomes of a command with these ids and something plausible everywhere else."""
    name = command.name[0].upper() + command.name[1:]
    kind: Any = schema()._schema.type_map[f"{command.input.__name__}Input"]
    filled = {**plausible(kind), **given}
    document = (
        f"mutation($input:{kind.name}!){{{command.name}(input:$input)"
        f"{{__typename ...on Refusal{{code message field}} }}}}"
    )
    found = await answer(house, document, input=filled)
    assert not found.errors, (name, filled, found.errors)
    done = found.data[command.name]
    return done.get("code"), done.get("message"), done.get("field"), done["__typename"]


def plausible(kind: Any) -> dict[str, Any]:
    """A value for each required field of an input type."""
    return {name: _one(one.type) for name, one in kind.fields.items() if str(one.type).endswith("!")}


def _one(kind: Any) -> Any:
    text = str(kind).rstrip("!")
    if text.startswith("["):
        return []
    named: Any = get_named_type(kind)
    if isinstance(named, GraphQLEnumType):
        return next(iter(named.values))
    if hasattr(named, "fields"):
        return plausible(named)
    times = {"DateTime": "2026-11-23T09:00:00Z", "Date": "2026-11-23"}
    plain = {"String": "Demo", "Int": 1, "Float": 1.5, "Boolean": True, "ID": str(uuid4()), "JSON": {}}
    return {**times, **plain}[named.name]


def test_every_reference_of_every_entity_has_its_relation() -> None:
    for name, entity in ENTITIES.items():
        kind: Any = schema()._schema.type_map[name]
        for one in fields(entity):
            if one.references is not None:
                relation = kind.fields[camel(one.name.removesuffix("_id"))]
                assert str(relation.type) == BY_TABLE[one.references].__name__, (name, one.name)
