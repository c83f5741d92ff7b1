"""Stored documents equal the rows after an upgrade from any revision, and devices receive the changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncSession

from tests.support import migrate
from tests.support.clashes import Clashes
from tests.support.device import TestDevice
from tests.support.house import House
from tests.support.migrate import connected
from tests.support.postgres import create_database, drop_database
from tests.support.world import World
from tournee import demo
from tournee.catalogue import ENTITIES, MEMBERSHIPS
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.kernel.command import Kernel
from tournee.kernel.conflict import FIELD_CHANGED_BY_BOTH
from tournee.kernel.entity import UTCDateTime, new_id
from tournee.kernel.fields import camel
from tournee.kernel.log import Change, Edge, Head, Record, dump
from tournee.kernel.registry import BY_NAME
from tournee.kernel.search_term import SearchTerm
from tournee.kernel.values import document
from tournee.migrations.documents import change_fields
from tournee.sync.models import Receipt

_SCRIPTS = ScriptDirectory.from_config(migrate.configuration(""))
HEAD, *OLDER = [one.revision for one in _SCRIPTS.walk_revisions()]
# Columns that no model has now.
OF_THEN = {"window_from": UTCDateTime(), "window_to": UTCDateTime()}


async def seed(url: str) -> None:
    """Create the demo, a conflict, and a revoked device."""
    database = Database(url)
    try:
        await demo.seed(Kernel(database, MEMBERSHIPS), date(2026, 11, 23))
        house = await House(database).found()
        await (await Clashes(await World(house).settle()).begin()).of(FIELD_CHANGED_BY_BOTH)
        device = await house.run("enrolDevice", await house.account(), id=new_id(), name="Demo phone")
        await house.run("revokeDevice", deviceId=device.id, surrender=True)
    finally:
        await database.close()


@pytest_asyncio.fixture(scope="module")
async def seeded(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a seeded database at the newest revision."""
    file = tmp_path_factory.mktemp("seeded") / "head.db"
    shutil.copy(sqlite_template, file)
    await seed(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="module")
def stages(seeded: Path) -> dict[str, Path]:
    """Return the same database downgraded to each older revision."""
    found, file = {}, seeded
    for revision in OLDER:
        shutil.copy(file, file := seeded.with_name(f"{revision}.db"))
        migrate.downgrade(f"sqlite:///{file}", revision)
        found[revision] = file
    return found


def as_written_then(connection: sa.Connection) -> None:
    """Rewrite the stored documents as this revision's code did, with the columns of its time.

    A downgrade may leave more in them, which would hide an upgrade that forgets a field.
    """
    tables = set(sa.inspect(connection).get_table_names())
    for entity in connection.scalars(sa.select(Record.entity).distinct()).all():
        name, model = BY_NAME[entity].__tablename__, BY_NAME[entity]
        if name not in tables:
            ours = sa.select(Record.id).where(Record.entity == entity)
            connection.execute(sa.delete(Edge).where(Edge.record_id.in_(ours)))
            connection.execute(sa.delete(Record).where(Record.entity == entity))
            continue
        own: Any = model.__table__.c
        columns = [
            sa.column(one["name"], own[one["name"]].type if one["name"] in own else OF_THEN[one["name"]])
            for one in sa.inspect(connection).get_columns(name)
            if one["name"] not in ("organisation_id", "deleted")
            and not (one["name"] in own and own[one["name"]].info.get("private"))
        ]
        for row in connection.execute(sa.select(*columns).select_from(sa.table(name))).mappings():
            text = dump({camel(key): value for key, value in row.items()})
            connection.execute(sa.update(Record).where(Record.id == row["id"]).values(document=text))


@dataclass
class Stored:
    """The heads, and the records of an organisation with parsed documents."""

    heads: dict[UUID, tuple[UUID, int]]
    records: dict[UUID, tuple[UUID, int, bool, dict[str, Any]]]


def stored(connection: sa.Connection) -> Stored:
    heads = connection.execute(sa.select(Head.organisation_id, Head.epoch, Head.seq))
    columns = (Record.id, Record.organisation_id, Record.seq, Record.deleted, Record.document)
    records = connection.execute(sa.select(*columns))
    return Stored(
        {id: (epoch, seq) for id, epoch, seq in heads},
        {id: (of, seq, deleted, json.loads(text)) for id, of, seq, deleted, text in records},
    )


def require_that_devices_learn(connection: sa.Connection, before: Stored) -> None:
    """Check that each changed document has a number after the old head, or a new epoch began."""
    after = stored(connection)
    for id, (organisation, seq, deleted, now) in after.records.items():
        epoch, head = before.heads[organisation]
        if deleted or now == before.records[id][3] or after.heads[organisation][0] != epoch:
            continue
        assert seq > head, now
        edges = connection.scalars(sa.select(Edge.seq).where(Edge.record_id == id, Edge.open))
        assert set(edges) <= {seq}
    for organisation, (_, head) in before.heads.items():
        since = sa.select(Change.seq).where(Change.organisation_id == organisation, Change.seq > head)
        numbers = list(connection.scalars(since.order_by(Change.seq)))
        assert numbers == list(range(head + 1, after.heads[organisation][1] + 1)), "The log has no gap."


async def require_what_the_code_makes(url: str) -> None:
    database = Database(url)
    try:
        async with database.reading(ACROSS) as session:
            for name, model in ENTITIES.items():
                kept = await session.execute(
                    sa.select(Record.id, Record.document).where(Record.entity == name)
                )
                documents = {id: json.loads(text) for id, text in kept}
                rows = {
                    row.id: json.loads(dump(document(row))) for row in await session.scalars(sa.select(model))
                }
                assert documents == rows, (
                    f"{name}: stored documents are not what its rows say. A migration that changes a public"
                    " field calls `change_fields` of tournee.migrations.documents."
                )
            await require_current_terms(session)
    finally:
        await database.close()


async def require_current_terms(session: AsyncSession) -> None:
    """Check that every live record has its search terms, and that no others are left."""
    columns = SearchTerm.kind, SearchTerm.record_id, SearchTerm.whole, SearchTerm.text
    kept = {tuple(row) for row in await session.execute(sa.select(*columns))}
    made = {
        (name, row.id, *term)
        for name, model in ENTITIES.items()
        if model.searched is not None
        for row in await session.scalars(sa.select(model).where(model.deleted.is_(False)))
        for term in model.searched.terms(vars(row).get)
    }
    assert kept == made, "A migration that changes a searched field, or how terms are made, makes them anew."


async def upgrade_and_compare(url: str) -> None:
    with connected(url) as connection:
        as_written_then(connection)
        before = stored(connection)
    migrate.upgrade(url)
    await require_what_the_code_makes(url)
    with connected(url) as connection:
        require_that_devices_learn(connection, before)


@pytest.mark.parametrize(
    "revision",
    [
        # From the second newest and from the oldest revision: every upgrade that a database can have.
        OLDER[0],
        *(pytest.param(one, marks=pytest.mark.prove("One more old revision.")) for one in OLDER[1:-1]),
        OLDER[-1],
    ],
)
async def test_an_upgraded_database_has_current_documents(revision: str, stages: dict[str, Path]) -> None:
    await upgrade_and_compare(f"sqlite:///{stages[revision]}")


@pytest.mark.slow("Every migration from 0003 on, with the demo's rows.")
async def test_an_upgraded_postgresql_database_has_current_documents(
    postgres_url: str, postgres_template: str
) -> None:
    url = create_database(postgres_url, "documents", postgres_template)
    await seed(url)
    # No earlier revision dropped a column except 0003, which has its own test.
    migrate.downgrade(url, "0003")
    await upgrade_and_compare(url)
    drop_database(postgres_url, "documents")


@contextmanager
def revising(url: str) -> Iterator[sa.Connection]:
    """Yield a context in which a migration can run."""
    with connected(url) as connection, Operations.context(MigrationContext.configure(connection)):
        yield connection


@pytest_asyncio.fixture
async def clashes(house: House) -> Clashes:
    return await Clashes(await World(house).settle()).begin()


def named(url: str, organisation_id: UUID) -> dict[str, list[Any]]:
    """Return everything stored that names a field of a work order or of another entity."""
    columns = [(Change.entity, Change.fields, Change.before, Change.after), (Receipt.unmoved,)]
    columns += [(Record.entity, Record.id, Record.clock, Record.document, Record.deleted)]
    with connected(url) as connection:
        return {
            of[0].class_.__name__: connection.execute(
                sa.select(*of)
                .where(of[0].class_.organisation_id == organisation_id)
                .order_by(*of[0].class_.__mapper__.primary_key)
            ).all()
            for of in columns
        }


async def test_a_device_receives_dropped_and_added_fields_with_the_rows_values(
    clashes: Clashes,
) -> None:
    house, device, id = clashes.house, clashes.device, clashes.order.id
    other = await World(await House(house.database).found()).settle()
    office = TestDevice(house, "DISPATCHER")
    await house.run("updateWorkOrder", workOrderId=id, symptom="Drips")
    for one in (device, office):
        await one.pull()
    with revising(house.database.url) as connection:
        before = stored(connection)
        change_fields("work_order", dropped=["symptom"])
    for one in (device, office):
        await one.pull()
        assert "symptom" not in one.rows[id]
        assert one.rows[id]["summary"] == "Demo leak"
    with revising(house.database.url) as connection:
        require_that_devices_learn(connection, before)
        change_fields("work_order", added={"symptom": sa.Text(), "created_at": sa.DateTime(timezone=True)})
    for one in (device, office):
        await one.pull()
        assert one.rows[id]["symptom"] == "Drips"
        assert one.rows[id] == await fresh(house, one, id)
    await require_what_the_code_makes(house.database.url)
    last = (await house.changes(id))[-1]
    assert (last.command, last.fields, last.before, last.after) == (
        "migrate",
        '["symptom"]',
        "{}",
        '{"symptom":"Drips"}',
    )
    with connected(house.database.url) as connection:
        assert (
            stored(connection).heads[other.house.organisation_id] == before.heads[other.house.organisation_id]
        )


async def fresh(house: House, like: TestDevice, id: UUID) -> Any:
    """Return the record as a new copy receives it."""
    device = TestDevice(house, actor=like.actor)
    await device.pull()
    return device.rows[id]


async def test_a_renamed_field_is_renamed_wherever_it_is_named_and_nowhere_else(clashes: Clashes) -> None:
    house, device, order = clashes.house, clashes.device, clashes.order
    await clashes.of(FIELD_CHANGED_BY_BOTH)
    # An edit that leaves the field unchanged, which only the receipt records.
    standing = device.rows[order.id]["symptom"]
    await device.do("updateWorkOrder", workOrderId=order.id, symptom=standing)
    await house.run("updateCustomer", customerId=clashes.world.customer.id, notes="symptom")
    url, own = house.database.url, house.organisation_id
    before = named(url, own)
    assert sum('"symptom"' in str(row) for rows in before.values() for row in rows) >= 5
    with revising(url):
        change_fields("work_order", renamed={"symptom": "first_sign"})
    renamed = named(url, own)
    # The log keeps a conflict as it was written; nothing is compared with that.
    texts = [str(row) for rows in renamed.values() for row in rows if row[0] != "Conflict"]
    assert not [text for text in texts if "symptom" in text.replace('"notes":"symptom"', "")]
    await device.pull()
    assert device.rows[order.id]["firstSign"] == standing
    (conflict,) = [row for row in device.rows.values() if "standing" in row]
    assert {"firstSign"} <= conflict["mine"].keys() & conflict["theirs"].keys() & conflict["base"].keys()
    with revising(url):
        change_fields("work_order", renamed={"first_sign": "symptom"})
    await require_what_the_code_makes(url)
    again = named(url, own)
    assert again["Record"] == before["Record"]
    assert again["Receipt"] == before["Receipt"]
    assert again["Change"][: len(before["Change"])] == before["Change"]


async def test_a_large_organisation_is_rewritten_in_batches(
    clashes: Clashes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tournee.migrations.stored._BATCH", 2)
    house = clashes.house
    for number in range(3):
        await house.run("createCustomer", name=f"Demo {number}")
    gone = await house.run("createContact", customerId=clashes.world.customer.id, name="Demo Gone")
    await house.run("deleteContact", contactId=gone.id)
    with revising(house.database.url) as connection:
        before = stored(connection)
        change_fields("customer", dropped=["notes"])
        change_fields("contact", dropped=["name"])
        require_that_devices_learn(connection, before)
        after = stored(connection)
        assert after.heads[house.organisation_id][1] == before.heads[house.organisation_id][1] + 4 + 1
        # A deleted record has the right document in case it is restored; no device receives it.
        assert "name" not in after.records[gone.id][3]
        assert after.records[gone.id][1] == before.records[gone.id][1]
        for _, _, _, document in after.records.values():
            assert not {"notes"} & document.keys() or "customerId" in document
        change_fields("customer", added={"notes": sa.Text()})
        change_fields("contact", added={"name": sa.Text()})
    await require_what_the_code_makes(house.database.url)
