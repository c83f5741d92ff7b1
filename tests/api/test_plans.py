"""How PostgreSQL reads long lists: by an index in their order, on the first page and on later ones."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import and_

from tests.support.house import House
from tests.support.plans import faults, plan_of
from tournee.api.keyset import Order, Term, cursor
from tournee.api.load import Viewing, readable
from tournee.api.pages import Arguments
from tournee.catalogue import ENTITIES
from tournee.kernel.log import Change
from tournee.kernel.question import OWN
from tournee.kernel.values import wire_value

# Lists that grow with the years, their orders and filters.
LISTS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("Appointment", "startsAt", None),
    ("Appointment", "createdAt", None),
    ("Appointment", "status", None),
    ("Appointment", "id", None),
    ("Appointment", "id", {"workOrderId": {"eq": str(uuid4())}}),
    ("WorkOrder", "createdAt", None),
    ("WorkOrder", "dueAt", None),
    ("WorkOrder", "priority", None),
    ("WorkOrder", "status", None),
    ("WorkOrder", "id", None),
    ("Asset", "name", None),
    ("Asset", "serialNumber", None),
    ("Asset", "criticality", None),
    ("Customer", "name", None),
    ("Site", "name", None),
    ("Change", "seq", None),
    ("Change", "seq", {"entity": {"eq": "Appointment"}}),
]


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("travel", ["first", "last"])
async def test_long_lists_are_read_by_an_index(house: House, direction: str, travel: str) -> None:
    if house.database.is_sqlite:
        pytest.skip("SQLite explains itself in other words")
    actor = house.actor("MANAGER")
    wrong = []
    for name, key, wanted in LISTS:
        model: Any = {**ENTITIES, "Change": Change}[name]
        seen = and_(model.organisation_id == OWN, readable(model, actor))
        given = {travel: 50, "orderBy": [{key: direction}], "filter": wanted}
        order = Order.of(model, given["orderBy"])
        after = cursor(order.fingerprint, [wire_value(_some(term)) for term in order.terms])
        beyond = {"after" if travel == "first" else "before": after}
        for page in (given, {**given, **beyond}):
            chosen = Arguments.of(model, page).select(model, model, Viewing(actor), seen, in_runs=True)
            plan = await plan_of(house, chosen)
            wrong += [f"{name} by {key}: {one}" for one in faults(plan, model.__tablename__)]
    assert not wrong, "\n".join(wrong)


def _some(term: Term) -> Any:
    """Return a value that the field of this term may have."""
    kind: Any = term.field.type
    if issubclass(kind, Enum):
        return next(iter(kind))
    return {UUID: uuid4(), datetime: datetime.now(UTC), str: "Demo", int: 7}[kind]
