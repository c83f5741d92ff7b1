"""Lists in the order of an enum are read by their index, without a sort."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from tests.support.house import House
from tests.support.plans import plan_of
from tournee.api.keyset import Order, OrderDirection
from tournee.api.load import Viewing
from tournee.catalogue import ENTITIES
from tournee.kernel.question import OWN

INDEXED = [
    ("Appointment", "status"),
    ("Asset", "criticality"),
    ("Asset", "status"),
    ("AuditFinding", "grade"),
    ("WorkOrder", "priority"),
    ("WorkOrder", "status"),
]


@pytest.mark.parametrize("direction", OrderDirection)
async def test_an_enum_is_sorted_by_its_index(house: House, direction: OrderDirection) -> None:
    for entity, column in INDEXED:
        model: Any = ENTITIES[entity]
        order = Order.of(model, [{column: direction}]).clauses(model, Viewing(house.actor("MANAGER")))
        own = select(model.id).where(model.organisation_id == OWN, model.deleted.is_(False))
        plan = await plan_of(house, own.order_by(*order).limit(20))
        assert f"ix_{model.__tablename__}_{column}_rank" in plan, plan
        assert "Sort" not in plan, plan
        assert "TEMP B-TREE" not in plan, plan
