"""The reporting views show one organisation's records to tools that speak SQL."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from sqlalchemy import inspect, make_url, text

from tests.support.house import House
from tests.support.migrate import connected, downgrade, upgrade
from tests.support.postgres import libpq
from tournee.catalogue import ENTITIES
from tournee.engine.engines import ACROSS
from tournee.kernel.errors import Invalid, NotFound
from tournee.kernel.fields import fields
from tournee.operating.reporting_roles import bind, setup
from tournee.reporting import views


async def test_each_type_has_a_view_with_its_public_fields(house: House) -> None:
    async with house.database.connecting() as connection:
        there = await connection.run_sync(lambda own: set(inspect(own).get_view_names()))
        assert there == {f"reporting_{model.__tablename__}" for model in ENTITIES.values()} | {
            "reporting_change"
        }
        for model in ENTITIES.values():
            shown = await connection.run_sync(lambda own, name: inspect(own).get_columns(name), _view(model))
            names = {one["name"] for one in shown}
            assert names >= {one.name for one in fields(model)}
            assert names == set(views.columns(model))
    # Private columns are in no view.
    assert "password_hash" not in views.columns(ENTITIES["Account"])


def _view(model: Any) -> str:
    return f"reporting_{model.__tablename__}"


async def test_a_view_names_what_a_record_refers_to(house: House) -> None:
    if not house.database.is_sqlite:
        pytest.skip("Only a bound role sees anything; the next test has one.")
    customer = await house.run("createCustomer", name="Demo Hotel")
    contact = await house.run("createContact", customerId=customer.id, name="Demo One")
    deleted = await house.run("createContact", customerId=customer.id, name="Demo Two")
    await house.run("deleteContact", contactId=deleted.id)
    async with house.database.reading(ACROSS) as session:
        asked = text(
            "SELECT id, name, customer_id, customer_name FROM reporting_contact WHERE organisation_id = :own"
        )
        rows = (await session.execute(asked, {"own": str(house.organisation_id)})).all()
    assert rows == [(str(contact.id), "Demo One", str(customer.id), "Demo Hotel")]


async def test_a_bound_role_sees_one_organisation_whatever_it_sets(house: House) -> None:
    if house.database.is_sqlite:
        with pytest.raises(Invalid):
            await bind(house.database, "reader", house.organisation_id)
        return
    other = await House(house.database).found()
    for one in (house, other):
        await one.run("createCustomer", name=f"Demo {one.organisation_id}")
    role = f"reader_{house.organisation_id.hex[:8]}"
    with pytest.raises(NotFound, match="CREATE ROLE"):
        await bind(house.database, role, house.organisation_id)
    with pytest.raises(Invalid):
        await bind(house.database, "tournee", house.organisation_id)
    with _as(house, "postgres") as superuser:
        superuser.execute(setup(role).encode())
    await bind(house.database, role, house.organisation_id)
    with _as(house, role) as reader:
        for setting in ("*", str(house.organisation_id), str(other.organisation_id), ""):
            reader.execute("SELECT set_config('tournee.organisation', %s, false)", [setting])
            seen = {name for (name,) in reader.execute("SELECT name FROM reporting_customer")}
            mine = {f"Demo {house.organisation_id}"}
            assert seen == (mine if setting == "*" else seen & mine)
            assert {one for (one,) in reader.execute("SELECT organisation_id FROM reporting_change")} <= {
                house.organisation_id
            }
        reader.execute("SET default_transaction_read_only = off")
        for forbidden in (
            "SELECT * FROM customer",
            "SELECT * FROM database_role",
            "UPDATE database_role SET role = role",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(forbidden.encode())
    await bind(house.database, role, other.organisation_id)
    with _as(house, role) as reader:
        seen = {name for (name,) in reader.execute("SELECT name FROM reporting_customer")}
    assert seen == {f"Demo {other.organisation_id}"}
    # A migration makes the views anew, and the role still reads them.
    with connected(house.database.url) as connection:
        views.refresh(connection)
    with _as(house, role) as reader:
        assert reader.execute("SELECT count(*) FROM reporting_customer").fetchone() == (1,)


def _as(house: House, role: str) -> psycopg.Connection[Any]:
    url = make_url(house.database.url).set(username=role).render_as_string(hide_password=False)
    return psycopg.connect(libpq(url), autocommit=True)


def test_views_never_stand_in_a_migrations_way(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path}/views.db"
    upgrade(url)
    downgrade(url, "-1")
    with connected(url) as connection:
        assert inspect(connection).get_view_names() == []
    upgrade(url)
    with connected(url) as connection:
        assert len(inspect(connection).get_view_names()) == len(ENTITIES) + 1
