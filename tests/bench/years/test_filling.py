"""A very small fill is right in every row, so a large one is too. A new table or column that breaks it fails
here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import orjson
import pytest_asyncio
from psycopg.sql import SQL, Composed, Identifier
from sqlalchemy import ForeignKeyConstraint, select

from tests.bench.years.filling import Filled
from tests.bench.years.sizes import Sizes
from tests.bench.years.template import tables
from tests.support.postgres import create_database, drop_database
from tournee.catalogue import ENTITIES
from tournee.engine.database import Database
from tournee.engine.notes import scopes_of
from tournee.kernel.entity import now
from tournee.kernel.log import Change, Edge, Member, Record, dump
from tournee.kernel.values import document
from tournee.work.models import Appointment, Assignment, WorkOrder

SIZES = Sizes(days=30, customers=24, finished=24, technicians=3, planned=15)


@pytest_asyncio.fixture(scope="module")
async def filled(postgres_url: str, postgres_template: str) -> AsyncIterator[Filled]:
    """A filled organisation, which `fill` itself has checked."""
    database = Database(create_database(postgres_url, "years", postgres_template))
    yield await Filled(database, SIZES).fill()
    await database.close()
    drop_database(postgres_url, "years")


async def test_each_reference_names_a_row(filled: Filled) -> None:
    with filled.superuser() as connection:
        for table in tables():
            for constraint in table.constraints:
                if isinstance(constraint, ForeignKeyConstraint):
                    missing = connection.execute(_unmatched(table.name, constraint)).fetchone()
                    assert missing == (0,), constraint


def _unmatched(table: str, constraint: ForeignKeyConstraint) -> Composed:
    own = [Identifier("own", column.name) for column in constraint.columns]
    there = [Identifier("there", element.column.name) for element in constraint.elements]
    pairs = [SQL("{} = {}").format(*pair) for pair in zip(there, own, strict=True)]
    named = [SQL("{} IS NOT NULL").format(column) for column in own]
    return SQL("SELECT count(*) FROM {} own WHERE {} AND NOT EXISTS (SELECT FROM {} there WHERE {})").format(
        Identifier(table),
        SQL(" AND ").join(named),
        Identifier(constraint.referred_table.name),
        SQL(" AND ").join(pairs),
    )


async def test_each_row_has_its_record_and_lies_in_its_scopes(filled: Filled) -> None:
    async with filled.house.reading() as session:
        for name, model in ENTITIES.items():
            rows = list(await session.scalars(select(model)))
            records = await session.execute(select(Record.id, Record.document).where(Record.entity == name))
            assert {row.id: dump(document(row)) for row in rows} == dict(records.all())
            open_edges = await session.execute(
                select(Edge.record_id, Edge.scope).where(
                    Edge.record_id.in_([row.id for row in rows]), Edge.open.is_(True)
                )
            )
            assert {(row.id, scope) for row in rows for scope in scopes_of(row)} == {
                (id, scope) for id, scope in open_edges
            }


async def test_the_clocks_of_a_record_name_its_last_change(filled: Filled) -> None:
    async with filled.house.reading() as session:
        for clock, seq in await session.execute(select(Record.clock, Record.seq)):
            assert max(stamp[0] for stamp in orjson.loads(clock).values()) == seq


async def test_devices_and_orders_count_on(filled: Filled) -> None:
    house, technician = filled.house, filled.technicians[0]
    note = technician.device.operation(
        "addNote", appointmentId=filled.planned[3].id, text="Demo: rings twice.", at=now()
    )
    (outcome,) = await technician.device.push(note)
    assert outcome.status == "applied"
    order = await house.run("createWorkOrder", customerId=filled.customers[0], summary="Demo")
    assert order.number == f"WO-{1001 + filled.expected['work_order']}"


async def test_each_order_has_a_number_of_its_own(filled: Filled) -> None:
    orders = await filled.house.rows(WorkOrder)
    assert sorted(int(order.number.removeprefix("WO-")) for order in orders) == [
        1001 + n for n in range(len(orders))
    ]


async def test_assignments_end_with_their_visits(filled: Filled) -> None:
    visits = {visit.id: visit for visit in await filled.house.rows(Appointment)}
    for assignment in await filled.house.rows(Assignment):
        assert assignment.until == visits[assignment.appointment_id].until


async def test_the_log_runs_forward(filled: Filled) -> None:
    async with filled.house.reading() as session:
        days = [at.date() for at in await session.scalars(select(Change.recorded_at).order_by(Change.seq))]
        ended = await session.execute(
            select(Member.from_seq, Member.to_seq).where(Member.to_seq.is_not(None))
        )
        assert days == sorted(days)
        assert all(start < end <= len(days) for start, end in ended)


async def test_members_of_all_technicians_are_those_of_the_rules(filled: Filled) -> None:
    await filled.check_members(*filled.technicians)
