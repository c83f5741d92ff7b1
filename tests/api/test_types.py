"""The types of the schema say what their values are."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLInputObjectType, GraphQLInterfaceType, GraphQLObjectType, get_named_type

from tests.support.ask import ask
from tests.support.house import House
from tournee.api.schema import schema, sdl


@pytest.mark.slow("The schema is made once.")
def test_ids_roles_and_choices_of_one_are_typed() -> None:
    wrong = set()
    for name, kind in schema()._schema.type_map.items():
        if not isinstance(kind, (GraphQLObjectType, GraphQLInterfaceType, GraphQLInputObjectType)):
            continue
        for field, one in kind.fields.items():
            if get_named_type(one.type).name == "String" and (
                field.endswith(("Id", "Ids")) or field in ("id", "role", "files")
            ):
                wrong.add(f"{name}.{field}")
    assert not wrong
    assert "directive @oneOf" not in sdl()
    assert "input CustomerOrder @oneOf {" in sdl()


async def test_a_role_is_compared_as_an_enum(houses: tuple[House, House]) -> None:
    for name in ("conflicts", "stockDiscrepancies"):
        document = f"query($role: Role!) {{{name}(filter: {{role: {{eq: $role}}}}) {{nodes {{role}}}}}}"
        found = await ask(houses[0], document, role="DISPATCHER")
        assert {one["role"] for one in found[name]["nodes"]} == {"DISPATCHER"}
        assert not (await ask(houses[0], document, role="AUDITOR"))[name]["nodes"]


async def test_the_items_of_a_checklist_have_types(house: House) -> None:
    template = await house.run("createChecklistTemplate", key="x", title="Demo")
    first: dict[str, Any] = {"key": "a", "prompt": "Clean?", "kind": "CHECK", "weight": 3}
    condition = {"itemKey": "a", "equals": "false"}
    second = {"key": "b", "prompt": "Why?", "kind": "TEXT", "condition": condition}
    await house.run("draftChecklistVersion", templateId=template.id, items=[first, second])
    document = "{checklistVersions {nodes {items {key kind weight condition {itemKey equals in}}}}}"
    (version,) = (await ask(house, document))["checklistVersions"]["nodes"]
    assert version["items"] == [
        {"key": "a", "kind": "CHECK", "weight": 3, "condition": None},
        {
            "key": "b",
            "kind": "TEXT",
            "weight": 1,
            "condition": {"itemKey": "a", "equals": "false", "in": None},
        },
    ]
