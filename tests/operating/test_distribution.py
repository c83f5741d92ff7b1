"""`tournee distribute` and `tournee migrate` on a PostgreSQL with Citus.

Citus is imitated (tests/support/citus.py); tests/engine/test_distributed.py has the tests on a real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.operating.terminal import Terminal
from tests.support.citus import distributed, pretend_citus, superuser
from tests.support.house import House
from tests.support.postgres import create_database, drop_database, libpq
from tournee.engine.database import Database
from tournee.engine.heads import Heads
from tournee.kernel.entity import Base, Placement
from tournee.operating.distribution import every_step

LOCAL = {m.class_.__tablename__ for m in Base.registry.mappers if m.class_.placement is Placement.COORDINATOR}
OWN = {table: "id" if table == "organisation" else "organisation_id" for table in Base.metadata.tables}
ALL = {
    table: None if table == "sign_in_email" else column for table, column in OWN.items() if table not in LOCAL
}


@pytest.fixture
def plain_url(postgres_url: str, postgres_template: str) -> Iterator[str]:
    """Return the URL of a migrated PostgreSQL without Citus."""
    yield create_database(postgres_url, "plain", postgres_template)
    drop_database(postgres_url, "plain")


@pytest.fixture
def tournee(monkeypatch: pytest.MonkeyPatch, plain_url: str) -> Terminal:
    return Terminal(monkeypatch, plain_url)


def ask(url: str, question: str) -> list[Any]:
    with psycopg.connect(libpq(url)) as connection:
        return connection.execute(question.encode()).fetchall()


UNBOUND = "SELECT relname FROM pg_class WHERE relrowsecurity AND NOT relforcerowsecurity"
NESTED = "SELECT tablename FROM pg_policies WHERE qual LIKE '%SELECT%'"


def test_each_table_comes_after_those_it_refers_to() -> None:
    steps = [step.table for step in every_step()]
    assert steps[:2] == ["sign_in_email", "organisation"]
    assert set(steps) | LOCAL == Base.metadata.tables.keys()
    assert len(set(steps)) == len(steps)
    for place, name in enumerate(steps):
        for key in Base.metadata.tables[name].foreign_key_constraints:
            assert key.referred_table.name in steps[: place + 1], name


async def test_a_database_with_organisations_is_distributed_by_name_only(tournee: Terminal) -> None:
    house = await given_an_organisation(tournee.url)
    pretend_citus(tournee.url)
    assert tournee("migrate").code == 0
    assert distributed(tournee.url) == {}
    planned = tournee("distribute", "--dry-run")
    assert planned.code == 0
    assert (
        "create_distributed_table('customer', 'organisation_id', colocate_with => 'organisation');"
        in planned.out
    )
    assert f"0 tables were distributed before, {len(ALL)} are left." in planned.out
    assert distributed(tournee.url) == {}
    done = tournee("distribute")
    assert f"0 tables were distributed before, {len(ALL)} now." in done.out
    assert distributed(tournee.url) == ALL
    assert ask(tournee.url, "SELECT relation::text FROM truncated ORDER BY place") == [
        (one,) for one in ALL_IN_ORDER
    ]
    assert ask(tournee.url, UNBOUND) == []
    assert {table for (table,) in ask(tournee.url, NESTED)} == LOCAL
    again = tournee("distribute")
    assert f"{len(ALL)} tables were distributed before, 0 now." in again.out
    await still_served(tournee.url, house)


ALL_IN_ORDER = [step.table for step in every_step()]


async def given_an_organisation(url: str) -> House:
    database = Database(url)
    house = await House(database).found()
    await house.account("MANAGER")
    await house.run("createCustomer", name="Demo Bakery")
    await database.close()
    return house


async def still_served(url: str, house: House) -> None:
    """Write and read, and read the head in a transaction: Citus would not send on `set_config`."""
    database = Database(url)
    served = House(database)
    served.organisation_id = house.organisation_id
    await served.run("createCustomer", name="Demo Butcher")
    heads = Heads(database)
    assert (await heads.now(house.organisation_id)).seq == await served.seq()
    assert heads._cursor is None
    await heads.close()
    await database.close()


def test_a_new_database_is_distributed_by_migrate(tournee: Terminal) -> None:
    pretend_citus(tournee.url)
    said = tournee("migrate")
    assert said.code == 0
    assert said.error.startswith("Distributed sign_in_email, organisation, ")
    assert distributed(tournee.url) == ALL
    assert tournee("migrate").error == ""


def test_a_later_migrations_table_is_distributed_too(tournee: Terminal) -> None:
    pretend_citus(tournee.url)
    tournee("migrate")
    with psycopg.connect(libpq(tournee.url)) as connection:
        connection.execute(
            "DELETE FROM pg_dist_partition WHERE logicalrelid::text IN ('note', 'sign_in_email')"
        )
        connection.execute("DELETE FROM truncated")
    assert tournee("migrate").error == "Distributed sign_in_email, note.\n"
    assert distributed(tournee.url) == ALL
    assert ask(tournee.url, "SELECT relation::text FROM truncated") == [("sign_in_email",), ("note",)]


def test_an_interrupted_run_is_continued(tournee: Terminal) -> None:
    pretend_citus(tournee.url)
    with psycopg.connect(libpq(tournee.url)) as connection:
        connection.execute(
            "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN IF NEW.place = 10 THEN RAISE 'interrupted'; END IF; RETURN NEW; END $$"
        )
        connection.execute(
            "CREATE TRIGGER stop BEFORE INSERT ON pg_dist_partition FOR EACH ROW EXECUTE FUNCTION stop()"
        )
    assert tournee.refused("distribute") == "DATABASE_URL: interrupted"
    assert list(distributed(tournee.url)) == ALL_IN_ORDER[:9]
    assert ask(tournee.url, UNBOUND) == []
    assert tournee("distribute").code == 0
    assert distributed(tournee.url) == ALL


def test_a_table_that_is_distributed_otherwise_is_refused(tournee: Terminal) -> None:
    pretend_citus(tournee.url)
    with psycopg.connect(libpq(tournee.url)) as connection:
        connection.execute("INSERT INTO pg_dist_partition VALUES ('customer', 'h', 's', 'id')")
    expected = "customer is distributed by id, and should be by organisation_id"
    for command in ("distribute", "migrate"):
        assert tournee.refused(command).startswith(expected)
    assert distributed(tournee.url) == {"customer": "id"}


def test_without_citus_nothing_is_distributed(tournee: Terminal) -> None:
    assert tournee.refused("distribute").startswith(
        "DATABASE_URL: this PostgreSQL does not have Citus: install"
    )
    assert tournee("migrate").error == ""


def test_sqlite_is_not_distributed(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    tournee = Terminal(monkeypatch, f"sqlite:///{tmp_path}/tournee.db")
    assert tournee.refused("distribute").startswith("DATABASE_URL: SQLite keeps all rows in one file")


def test_the_server_does_not_start_if_nodes_would_not_learn_the_organisation(
    tournee: Terminal, tmp_path: Any
) -> None:
    pretend_citus(tournee.url)
    tournee("migrate")
    tournee.patch.setenv("TOURNEE_DIRECTORY", str(tmp_path))
    tournee.patch.setenv("PORT", "0")
    (role,) = ask(tournee.url, "SELECT current_user")[0]
    advice = f"ALTER ROLE \"{role}\" SET citus.propagate_set_commands = 'local'"
    assert tournee.refused("run").endswith(advice)
    assert advice in tournee("distribute").error
    with superuser(tournee.url) as connection:
        connection.execute(advice.encode())
    try:
        assert tournee("distribute").error == ""
    finally:
        with superuser(tournee.url) as connection:
            connection.execute(f'ALTER ROLE "{role}" RESET citus.propagate_set_commands'.encode())
