"""Every relation costs the same number of statements for one row as for eight.

The queries are generated from the schema, so a new field is measured as soon as it exists.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLObjectType, get_named_type

from tests.support.ask import ask, statements
from tests.support.house import House
from tournee.api.nodes import plural
from tournee.api.schema import schema
from tournee.catalogue import ENTITIES

ROWS = 8
# The holder of a van is found through its asset and that asset's technician, and who changed a record last
# through the log.
THROUGH_ANOTHER = {"holder", "updatedBy"}


@pytest.fixture(scope="module")
def database_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """SQLite only: the API's statements do not depend on the database."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('costs') / 'tournee.db')}"


def leading(entity: str) -> dict[str, str]:
    """Return the fields of an entity that lead to other entities, each with its target."""
    core = schema()._schema
    kind: Any = core.type_map[entity]
    found = {}
    for name, field in kind.fields.items():
        inner = get_named_type(field.type)
        if isinstance(inner, GraphQLObjectType):
            target = inner.name.removesuffix("Connection")
            if target in ENTITIES and not any(str(one.type).endswith("!") for one in field.args.values()):
                found[name] = target
    return found


def is_list(entity: str, field: str) -> bool:
    kind: Any = schema()._schema.type_map[entity]
    return "first" in kind.fields[field].args


def asked(entity: str, field: str, inside: str) -> str:
    """Return the field's selection, for one record or for a page."""
    return f"{field}(first:5){{nodes{{{inside}}}}}" if is_list(entity, field) else f"{field}{{{inside}}}"


def records(value: Any) -> list[Any]:
    """Return the records that a field returned."""
    if isinstance(value, dict) and "nodes" in value:
        return list(value["nodes"])
    return value if isinstance(value, list) else [value] if value else []


async def cost(house: House, entity: str, ids: Iterable[str], inside: str) -> list[str]:
    """Return the statements for a page of these rows with this selection."""
    document = (
        f"query($ids:[ID!]){{{plural(entity)}(first:100,filter:{{id:{{in:$ids}}}}){{nodes{{id {inside}}}}}}}"
    )
    with statements(house) as sent:
        await ask(house, document, ids=list(ids))
    return sent


async def leading_somewhere(house: House, entity: str, fields: Iterable[str]) -> dict[str, list[str]]:
    """Return, for each field, the rows for which it has a record."""
    inside = " ".join(asked(entity, field, "id") for field in fields)
    found = await ask(house, f"{{{plural(entity)}(first:100){{nodes{{id {inside}}}}}}}")
    rows = found[plural(entity)]["nodes"]
    return {field: [row["id"] for row in rows if records(row[field])] for field in fields}


@pytest.mark.parametrize("entity", ENTITIES)
async def test_a_field_and_those_nested_in_it_cost_the_same_for_eight_rows_as_for_one(
    houses: tuple[House, House], entity: str
) -> None:
    house, fields = houses[0], leading(entity)
    rows = await leading_somewhere(house, entity, fields)
    for field, target in fields.items():
        if not (many := rows[field][:ROWS]):
            continue
        one, two = [await cost(house, entity, ids, asked(entity, field, "id")) for ids in (many[:1], many)]
        assert len(one) == len(two), (entity, field, Counter(two).most_common(3))
        third = leading(target)
        inside = " ".join(asked(target, name, "id") for name in third)
        three = await cost(house, entity, many, asked(entity, field, f"id {inside}"))
        allowed = len(two) + sum(3 if name in THROUGH_ANOTHER else 1 for name in third)
        assert len(three) <= allowed, (entity, field, Counter(three).most_common(3))


def test_every_entity_that_refers_to_another_has_relations() -> None:
    assert {entity for entity in ENTITIES if not leading(entity)} <= {"WebhookEndpoint"}
    assert sum(len(leading(entity)) for entity in ENTITIES) > 150
