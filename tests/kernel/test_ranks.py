"""Lists in the order of an enum are read by their index, without a sort."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from tests.support.house import House
from tournee.api.keyset import Order, OrderDirection
from tournee.api.load import Viewing
from tournee.catalogue import ENTITIES
from tournee.kernel.question import OWN, Question

INDEXED = [
    ("Appointment", "status"),
    ("Asset", "criticality"),
    ("Asset", "status"),
    ("AuditFinding", "grade"),
    ("WorkOrder", "priority"),
    ("WorkOrder", "status"),
]


async def _plan(house: House, statement: Any) -> str:
    """Return the plan of a statement in a session of the application, whose tables are empty."""
    dialect = house.database.engine.dialect
    question = Question(statement, dialect, ())
    values = question.parameters({OWN.key: house.organisation_id})
    async with house.reading() as session:
        connection = await (await session.connection()).get_raw_connection()
        driver: Any = connection.driver_connection
        if dialect.name == "sqlite":
            rows = await driver.execute_fetchall(f"EXPLAIN QUERY PLAN {question.text}", values)
            return "\n".join(row[-1] for row in rows)
        for way in ("seqscan", "sort", "bitmapscan"):
            await driver.execute(f"SET LOCAL enable_{way} = off")
        cursor = await driver.execute(f"EXPLAIN {question.text}", values)
        return "\n".join(row[0] for row in await cursor.fetchall())


@pytest.mark.parametrize("direction", OrderDirection)
async def test_an_enum_is_sorted_by_its_index(house: House, direction: OrderDirection) -> None:
    for entity, column in INDEXED:
        model: Any = ENTITIES[entity]
        order = Order.of(model, [{column: direction}]).clauses(model, Viewing(house.actor("MANAGER")))
        own = select(model.id).where(model.organisation_id == OWN, model.deleted.is_(False))
        plan = await _plan(house, own.order_by(*order).limit(20))
        assert f"ix_{model.__tablename__}_{column}_rank" in plan, plan
        assert "Sort" not in plan, plan
        assert "TEMP B-TREE" not in plan, plan
