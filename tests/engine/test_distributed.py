"""The server keeps the rules of Citus, which distributes rows by organisation.

Citus itself is not needed: the rules are held on plain PostgreSQL, and what Citus says is imitated.
`tests/sync/test_convergence.py` watches the statements of every command in the same way.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import httpx2
import psycopg
import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    MetaData,
    Table,
    Uuid,
    insert,
    inspect,
)
from sqlalchemy.exc import InternalError

from tests.support import migrate
from tests.support.citus import add_extension
from tests.support.desk import Desk
from tests.support.device import TestDevice
from tests.support.house import House
from tests.support.naming import watching
from tests.support.postgres import ask_driver, create_database, drop_database, libpq
from tournee.customers.models import Customer
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS, Across
from tournee.engine.horizon import forget, raise_floor
from tournee.kernel.entity import Base, Placement, new_id, now
from tournee.kernel.errors import Conflict
from tournee.kernel.log import Edge, Member
from tournee.operating.distribution import distribute, require_setting
from tournee.sync.push.receipts import purge_receipts

PASSWORD = "long enough for a test"

# Tables whose rows are not with their organisation, and why.
SHARED = {
    "sign_in_email": "A sign-in knows an e-mail and no organisation. Every node has a copy.",
    "server_key": "A token is checked before it is known whose it is. It is never joined.",
    "failed_attempt": "A wrong password is counted before it is known whose it is. It is never joined.",
    "lease": "It lets one process work for all organisations. It is never joined.",
    "database_role": "A view asks it which organisation a role sees, before the role sees any.",
}


def test_every_key_and_every_unique_constraint_has_the_organisation() -> None:
    models = {mapper.class_.__tablename__: mapper.class_ for mapper in Base.registry.mappers}
    shared = {name for name, model in models.items() if model.placement is not Placement.ORGANISATION}
    assert shared == SHARED.keys()
    assert models.keys() == Base.metadata.tables.keys()
    found = set(wrong_keys(Base.metadata.tables.values()))
    assert not found


def test_a_key_without_the_organisation_is_found() -> None:
    """Each line of `wrong_keys` finds something."""
    own = "organisation_id"
    tables = MetaData()
    Table("parent", tables, Column(own, Uuid, primary_key=True), Column("id", Uuid, unique=True))
    Table("by_id", tables, Column("id", Uuid, primary_key=True), Column(own, Uuid))
    key = Column(own, Uuid, primary_key=True), Column("id", Uuid, primary_key=True)
    Table("refers", tables, *(one._copy() for one in key), Column("parent", ForeignKey("parent.id")))
    Table("indexed", tables, *(one._copy() for one in key), Index("ux", "id", unique=True))
    assert set(wrong_keys(tables.tables.values())) == {"parent", "by_id", "refers", "indexed"}


def wrong_keys(tables: Iterable[Table]) -> Iterator[str]:
    """Yield the tables with a primary key, unique constraint, unique index or foreign key that does not have
    the organisation.
    """
    for table in tables:
        own = "id" if table.name == "organisation" else "organisation_id"
        keys: list[Any] = [one for one in table.constraints if not isinstance(one, CheckConstraint)]
        keys += [one for one in table.indexes if one.unique]
        if table.name not in SHARED and not all(own in key.columns for key in keys):
            yield table.name


def test_the_migrated_keys_are_those_of_the_models(database: Database) -> None:
    """Alembic compares no primary keys."""
    with migrate.connected(database.url) as connection:
        seen = inspect(connection)
        for table in Base.metadata.tables.values():
            key = {column.name for column in table.primary_key}
            assert set(seen.get_pk_constraint(table.name)["constrained_columns"]) == key, table.name


async def test_requests_name_their_organisation(
    desk: Desk, client: httpx2.AsyncClient, house: House, served_database: Database
) -> None:
    email = f"{new_id()}@demo.example"
    await house.account("TECHNICIAN", email=email, password=PASSWORD)
    form = {"grant_type": "password", "username": email, "password": PASSWORD, "device": str(new_id())}
    with watching(served_database):
        tokens = (await client.post("/auth/token", data=form)).json()
        renewal = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        assert (await client.post("/auth/token", data=renewal)).status_code == 200
        first = desk.operation(input={"id": str(new_id()), "name": "Demo Bakery"})
        of = {"customerId": first["input"]["id"]}
        site = desk.operation(command="createSite", input=of | {"name": "Oven"})
        lost = desk.operation(command="createSite", input={"customerId": str(new_id()), "name": "Oven"})
        outcomes = await desk.push(first, site, lost)
        assert [one["status"] for one in outcomes] == ["applied", "applied", "parked"]
        cursor = (await desk.pull()).json()["cursor"]
        await desk.push(desk.operation())
        cursor = (await desk.pull(cursor=cursor)).json()["cursor"]
        for path in ("/sync/checksums", "/sync/repair"):
            given = {"cursor": cursor, "entity": "Customer"}
            assert (await client.get(path, params=given, headers=desk.headers)).json()["current"]
        for query in (
            "{ customers { totalCount nodes { name sites { nodes { name } } } } }",
            'mutation { createCustomer(input: {name: "Demo"}) { __typename } }',
        ):
            answer = await client.post("/graphql", json={"query": query}, headers=desk.headers)
            assert "errors" not in answer.json()


async def test_what_expired_is_deleted_in_portions(
    house: House, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tournee.engine.purging.CHUNK", 2)
    own = {"organisation_id": house.organisation_id}
    async with house.writing() as session:
        for n in range(5):
            at = {"scope": new_id(), "record_id": new_id(), "open": n == 4, "seq": 0}
            await session.execute(insert(Edge.__table__).values(**own, **at))
            held = {"account_id": new_id(), "scope": new_id(), "from_seq": 0, "to_seq": None if n == 4 else 0}
            await session.execute(insert(Member.__table__).values(**own, **held))
        await session.commit()
    for _ in range(3):
        await house.run("createCustomer", name="Demo")
    later = now() + timedelta(days=1)
    with watching(database) as watched:
        await raise_floor(database, house.organisation_id, later)
        assert await forget(database, house.organisation_id, later) == 8
        assert await purge_receipts(database, house.organisation_id, later) == 0
    assert watched.count > 8
    assert [row.open for row in await house.rows(Edge, seq=0)] == [True]
    assert [row.to_seq for row in await house.rows(Member, from_seq=0)] == [None]


CITUS = """
CREATE FUNCTION fail_as_citus_does() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING 'insert on "customer_102008" violates a foreign key' USING ERRCODE = '{state}';
    RAISE 'could not commit transaction for shard 102008 on at least one active node' USING ERRCODE = 'XX000';
END $$;
CREATE CONSTRAINT TRIGGER as_citus AFTER INSERT ON customer DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.name = 'Refused at the commit') EXECUTE FUNCTION fail_as_citus_does()
"""


@pytest.fixture
def failing(database: Database, request: pytest.FixtureRequest) -> Iterator[None]:
    """Let a node find out at the commit that a row may not be there, and warn with this SQLSTATE."""
    if database.is_sqlite:
        pytest.skip("SQLite is not distributed")
    with psycopg.connect(libpq(database.url), autocommit=True) as connection:
        connection.execute(CITUS.format(state=request.param).encode())
        yield
        connection.execute("DROP FUNCTION fail_as_citus_does CASCADE")


@pytest.mark.parametrize("failing", ["23503"], indirect=True)
async def test_a_violation_that_a_node_finds_at_the_commit_is_a_conflict(house: House, failing: None) -> None:
    with pytest.raises(Conflict):
        await house.run("createCustomer", name="Refused at the commit")
    await house.run("createCustomer", name="Accepted")
    assert [row.name for row in await house.rows(Customer)] == ["Accepted"]


@pytest.mark.parametrize("failing", ["01000"], indirect=True)
async def test_another_failure_at_the_commit_is_no_conflict(house: House, failing: None) -> None:
    with pytest.raises(InternalError):
        await house.run("createCustomer", name="Refused at the commit")


POLICIES = "SELECT tablename, qual FROM pg_policies WHERE schemaname = 'public'"


@pytest.fixture
def distributed(postgres_url: str) -> Iterator[str]:
    """Return a migrated database that has Citus, as far as migrations look."""
    url = create_database(postgres_url, "distributed")
    add_extension(url)
    migrate.upgrade(url)
    yield url
    drop_database(postgres_url, "distributed")


async def test_with_citus_policies_have_no_sub_select_and_hide_the_same_rows(distributed: str) -> None:
    with psycopg.connect(libpq(distributed)) as connection:
        policies = dict(connection.execute(POLICIES).fetchall())
    assert policies.keys() == Base.metadata.tables.keys()
    assert not [table for table, policy in policies.items() if "SELECT" in policy]
    database = Database(distributed)
    ours, theirs = await House(database).found(), await House(database).found()
    for house in (ours, theirs):
        await house.run("createCustomer", name="Demo Bakery")
    seen = "SELECT organisation_id FROM customer"
    for whose, rows in ((ours.organisation_id, 1), (theirs.organisation_id, 1), (ACROSS, 2), (new_id(), 0)):
        async with database.reading(whose) as session:
            found = await (await ask_driver(session, seen)).fetchall()
            assert len(found) == rows
            assert isinstance(whose, Across) or {id for (id,) in found} <= {whose}
    async with database.connecting() as plain:
        driver = (await plain.get_raw_connection()).driver_connection
        assert await (await driver.execute(seen)).fetchall() == []
    await database.close()


async def test_without_citus_a_policy_reads_the_setting_once_for_each_statement(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no policies")
    with psycopg.connect(libpq(database.url)) as connection:
        policies = connection.execute(POLICIES).fetchall()
    assert all(policy.count("current_setting") == policy.count("SELECT") > 0 for _, policy in policies)


@pytest.fixture
def citus_url() -> str:
    """Return the URL of a database with Citus, migrated and distributed."""
    url = os.environ.get("TOURNEE_TEST_CITUS_URL")
    if not url:
        pytest.skip("TOURNEE_TEST_CITUS_URL names no database with Citus")
    migrate.upgrade(url)
    distribute(url)
    require_setting(url)
    return url


@pytest.mark.citus
async def test_citus_takes_a_push_a_pull_and_housekeeping(citus_url: str) -> None:
    database = Database(citus_url)
    house = await House(database).found()
    device = TestDevice(house, "MANAGER")
    outcome = await device.do("createCustomer", name="Demo Bakery")
    assert outcome.status == "applied"
    await device.pull()
    assert [row["name"] for row in device.rows.values()] == ["Demo Bakery"]
    later = now() + timedelta(days=1)
    await raise_floor(database, house.organisation_id, later)
    await forget(database, house.organisation_id, later)
    assert await purge_receipts(database, house.organisation_id, later) == 1
    await database.close()
