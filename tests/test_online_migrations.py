"""Migrations of large tables let servers go on writing, and start again where they were interrupted."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, insert, make_url, select, text
from sqlalchemy.exc import DBAPIError, OperationalError

from tests.support import migrate
from tests.support.postgres import ROOT, create_database, drop_database
from tournee import migrations

ORGANISATION, ENDED = uuid4(), datetime(2024, 5, 1, 12, tzinfo=UTC)
ROWS = 1_300


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    """Return the URL of a database at revision 0017."""
    made = create_database(postgres_url, "online")
    migrate.upgrade(made, "0017")
    yield made
    drop_database(postgres_url, "online")


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """Return connections that pass row security and foreign keys: a row needs no others around it."""
    superuser = make_url(url).set(drivername="postgresql+psycopg", username="postgres")
    made = create_engine(
        superuser, connect_args={"options": "-c session_replication_role=replica -c lock_timeout=1000"}
    )
    yield made
    made.dispose()


def bare(table: Table, **given: Any) -> dict[str, Any]:
    """Return a row with something in every column that takes no null."""
    by_type: dict[type, Any] = {UUID: uuid4(), str: "", int: 0, bool: False, datetime: ENDED}
    needed = [c for c in table.columns if not c.nullable and c.server_default is None]
    return {column.name: by_type.get(column.type.python_type) for column in needed} | given


def fill(connection: Connection) -> Table:
    """Add visits that ended, each with an assignment."""
    tables = MetaData()
    tables.reflect(connection, only=["assignment", "appointment"])
    visits = [uuid4() for _ in range(ROWS)]
    own = {"organisation_id": ORGANISATION}
    appointment, assignment = tables.tables["appointment"], tables.tables["assignment"]
    over = own | {"status": "COMPLETED", "ends_at": ENDED}
    connection.execute(insert(appointment), [bare(appointment, id=id, **over) for id in visits])
    rows = [bare(assignment, id=uuid4(), appointment_id=id, technician_id=uuid4(), **own) for id in visits]
    connection.execute(insert(assignment), rows)
    return assignment


HINDERED = """
CREATE SEQUENCE updated;
GRANT ALL ON SEQUENCE updated TO PUBLIC;
CREATE FUNCTION hinder() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {what} RETURN NEW; END $$;
CREATE TRIGGER hinder BEFORE UPDATE ON assignment FOR EACH ROW EXECUTE FUNCTION hinder();
ALTER TABLE assignment ENABLE ALWAYS TRIGGER hinder;
"""
SLOWLY = "PERFORM pg_sleep(0.001);"
INTERRUPTED = "IF nextval('updated') = 1200 THEN RAISE EXCEPTION 'interrupted'; END IF;"


def until(engine: Engine) -> set[datetime]:
    with engine.connect() as connection:
        assignment = Table("assignment", MetaData(), autoload_with=connection)
        own = assignment.c.organisation_id == ORGANISATION
        return set(connection.scalars(select(assignment.c.until).where(own)))


def invalid(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        found = connection.scalars(
            text("SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid")
        )
        return list(found)


@pytest.mark.slow("A table is changed slowly on purpose, while others write.")
def test_others_write_while_a_large_table_is_changed(url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        assignment = fill(connection)
        connection.execute(text(HINDERED.format(what=SLOWLY)))
    done, written, refused = threading.Event(), 0, []

    def write() -> None:
        nonlocal written
        while not done.is_set():
            row = bare(assignment, id=uuid4(), organisation_id=uuid4(), technician_id=uuid4())
            try:
                with engine.begin() as connection:
                    connection.execute(insert(assignment), row | {"appointment_id": uuid4()})
                written += 1
            except OperationalError as error:
                refused.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        migrations.migrate(url)
    finally:
        done.set()
        writer.join()
    assert refused == []
    assert written > 100
    assert until(engine) == {ENDED}
    assert invalid(engine) == []


@pytest.mark.slow("It runs every migration twice.")
def test_an_interrupted_migration_starts_again(url: str, engine: Engine) -> None:
    with engine.begin() as connection:
        fill(connection)
        connection.execute(text(HINDERED.format(what=INTERRUPTED)))
    with pytest.raises(DBAPIError, match="interrupted"):
        migrations.migrate(url)
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER hinder ON assignment"))
        # As if a server had been stopped while it made the index.
        connection.execute(text("CREATE INDEX ix_assignment_until ON assignment (technician_id)"))
    migrations.migrate(url)
    migrate.check(url)
    assert until(engine) == {ENDED}


def test_new_revisions_change_tables_that_exist_only_online() -> None:
    for file in sorted((ROOT / "migrations" / "versions").glob("*.py")):
        if file.name < "0018":
            continue
        upgrade = file.read_text().partition("def upgrade()")[2].partition("def downgrade()")[0]
        new = set(re.findall(r'op\.create_table\(\s*"(\w+)"', upgrade))
        changed = set(re.findall(r'op\.(?:add_column|alter_column|batch_alter_table)\(\s*"(\w+)"', upgrade))
        changed |= set(re.findall(r'op\.create_index\(\s*"\w+",\s*"(\w+)"', upgrade))
        assert changed <= new, f"{file.name}: use tournee.migrations.online for {changed - new}."
        assert not re.search(r"op\.execute\([^)]*\b(UPDATE|update)\b", upgrade), file.name
