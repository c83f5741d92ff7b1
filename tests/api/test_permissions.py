"""Every field has a permission, and without it nothing is answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLInterfaceType,
    GraphQLObjectType,
    get_named_type,
    is_composite_type,
    parse,
    validate,
)
from strawberry.printer import print_schema

from tests.support.ask import answer, ask
from tests.support.house import House
from tournee.api.limits import exceeded, sizes
from tournee.api.permissions import permission_of, required_permissions
from tournee.api.schema import schema, sdl
from tournee.auth.permissions import ACCOUNT_SELF
from tournee.catalogue import COMMANDS, ENTITIES
from tournee.kernel.actor import Permission
from tournee.work.permissions import WORK_INTERNAL

ROOT = Path(__file__).parents[2]


def object_fields() -> Iterator[tuple[str, str, Any]]:
    for name, kind in schema()._schema.type_map.items():
        if isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType)) and not name.startswith("__"):
            for field, definition in kind.fields.items():
                yield name, field, definition


def test_every_field_declares_an_existing_permission() -> None:
    core = schema()._schema
    known = Permission.declared
    seen = 0
    for kind, field, _ in object_fields():
        assert permission_of(core, kind, field) in known, f"{kind}.{field}"
        seen += 1
    assert seen == print_schema(schema()).count('@requires(scope: "') > 500


def test_fields_need_their_entitys_permission_and_mutations_their_commands() -> None:
    core = schema()._schema
    for name, entity in ENTITIES.items():
        # An account that sees a record may read the names of the people on it.
        own = ACCOUNT_SELF if name == "Account" else entity.reads
        assert permission_of(core, name, "id") == own
        assert permission_of(core, name, "createdAt") == entity.reads
        assert permission_of(core, f"{name}Connection", "totalCount") == entity.reads
    for name, command in COMMANDS.items():
        assert permission_of(core, "Mutation", name) == command.permission


def root_document(kind: str, field: str, definition: Any) -> str:
    """Return an operation with this one root field."""
    variables = [
        (name, str(one.type)) for name, one in definition.args.items() if str(one.type).endswith("!")
    ]
    declared = ",".join(f"${name}:{type_}" for name, type_ in variables)
    given = ",".join(f"{name}:${name}" for name, _ in variables)
    inside = "{__typename}" if is_composite_type(get_named_type(definition.type)) else ""
    head = f"{kind.lower()}({declared})" if declared else kind.lower()
    return f"{head}{{{field}{f'({given})' if given else ''}{inside}}}"


async def test_every_root_field_is_refused_without_its_permission(house: House) -> None:
    core = schema()._schema
    everything = house.actor()
    refused = 0
    for kind, field, definition in object_fields():
        if kind in ("Query", "Mutation", "Subscription"):
            scope = permission_of(core, kind, field)
            poor = dataclasses.replace(everything, permissions=frozenset(everything.permissions - {scope}))
            given = dict.fromkeys(definition.args, "x") if kind == "Query" else {}
            found = await answer(house, root_document(kind, field, definition), poor, **given)
            shown = found.data and found.data[field]
            assert (shown, set(found.codes)) == (None, {"FORBIDDEN"}), f"{kind}.{field}"
            assert scope in {error["extensions"]["scope"] for error in found.errors}
            refused += 1
    assert refused > len(COMMANDS) + 2 * len(ENTITIES)


@pytest.mark.slow("A document for each field of each entity.")
def test_a_field_inside_a_fragment_needs_its_permission() -> None:
    """Inline fragments and named ones need the same permission as a direct field."""
    core = schema()._schema
    for name in ENTITIES:
        kind: Any = core.type_map[name]
        for field, definition in kind.fields.items():
            inside = "{__typename}" if is_composite_type(get_named_type(definition.type)) else ""
            for text in (
                f'{{node(id:"x"){{...on {name}{{{field}{inside}}}}}}}',
                f'{{node(id:"x"){{...F}}}} fragment F on {name}{{{field}{inside}}}',
            ):
                parsed = parse(text)
                assert not validate(core, parsed)
                assert permission_of(core, name, field) in required_permissions(core, parsed)[None]


def test_the_printed_schema_is_current() -> None:
    printed = (ROOT / "schema" / "schema.graphql").read_text()
    assert printed == sdl(), "run `make schema`"


def test_the_operations_of_the_projects_clients_are_valid() -> None:
    files = sorted((ROOT / "schema" / "operations").glob("*.graphql"))
    assert files
    for file in files:
        document = parse(file.read_text())
        asked = sizes(document).values()
        assert [*validate(schema()._schema, document), *exceeded(document, asked)] == [], file.name


async def test_a_forbidden_field_is_null_and_the_rest_is_answered(house: House) -> None:
    customer = await house.run("createCustomer", name="Demo")
    document = """{ customers { nodes { name history { totalCount } } }
      account(id: "%s") { name email } }"""
    actor = house.actor("DISPATCHER")
    found = await answer(house, document % house.actor().id, actor)
    assert found.data["customers"]["nodes"][0]["name"] == "Demo"
    assert found.data["account"] is None
    (error,) = found.errors
    assert (error["path"], error["extensions"]) == (
        ["account"],
        {"code": "FORBIDDEN", "scope": "accounts:read"},
    )
    # Where the field cannot be null, what holds it is.
    portal = await house.account("CUSTOMER_PORTAL", customerId=customer.id)
    both = "query($id: ID!) {customer(id: $id) {name tags} me {role}}"
    found = await answer(house, both, portal, id=str(customer.id))
    assert found.data == {"customer": None, "me": {"role": "CUSTOMER_PORTAL"}}
    assert found.errors[0]["path"] == ["customer", "tags"]


async def test_a_mutation_that_cannot_be_answered_is_not_carried_out(house: House) -> None:
    document = 'mutation {createCustomer(input: {name: "Demo"}) {... on Customer {tags}}}'
    poor = dataclasses.replace(
        house.actor(), permissions=frozenset(house.actor().permissions - {WORK_INTERNAL})
    )
    assert (await answer(house, document, poor)).codes == ["FORBIDDEN"]
    assert (await ask(house, "{customers {totalCount}}"))["customers"]["totalCount"] == 0
