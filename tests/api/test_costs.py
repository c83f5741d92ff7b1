"""What nested queries cost, for every field that leads from one record to others: the same for one row
as for eight. The queries are made from the schema, so that a new field is measured as soon as it is there."""

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
# Where a van's holder is: at its asset, and there the technician.
THROUGH_ANOTHER = {"holder"}


@pytest.fixture(scope="module")
def database_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """SQLite alone: what the API asks a database for does not depend on which one answers."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path_factory.mktemp('costs') / 'tournee.db')}"


def leading(entity: str) -> dict[str, str]:
    """The fields of an entity that lead to records of entities, each with what it leads to."""
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
    """The field with this inside, whether it leads to one record or to a page of them."""
    return f"{field}(first:5){{nodes{{{inside}}}}}" if is_list(entity, field) else f"{field}{{{inside}}}"


def records(value: Any) -> list[Any]:
    """What a field led to."""
    if isinstance(value, dict) and "nodes" in value:
        return list(value["nodes"])
    return value if isinstance(value, list) else [value] if value else []


async def cost(house: House, entity: str, ids: Iterable[str], inside: str) -> list[str]:
    """The statements that a page of these rows takes, with this asked of each."""
    document = (
        f"query($ids:[ID!]){{{plural(entity)}(first:100,filter:{{id:{{in:$ids}}}}){{nodes{{id {inside}}}}}}}"
    )
    with statements(house) as sent:
        await ask(house, document, ids=list(ids))
    return sent


async def leading_somewhere(house: House, entity: str, fields: Iterable[str]) -> dict[str, list[str]]:
    """For each field the rows from which it leads to a record."""
    inside = " ".join(asked(entity, field, "id") for field in fields)
    found = await ask(house, f"{{{plural(entity)}(first:100){{nodes{{id {inside}}}}}}}")
    rows = found[plural(entity)]["nodes"]
    return {field: [row["id"] for row in rows if records(row[field])] for field in fields}


@pytest.mark.parametrize("entity", ENTITIES)
async def test_a_field_costs_the_same_for_one_row_as_for_eight_and_so_do_the_fields_behind_it(
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


def test_every_entity_leads_somewhere() -> None:
    assert not [entity for entity in ENTITIES if not leading(entity)]
    assert sum(len(leading(entity)) for entity in ENTITIES) > 150
