"""The migrations create the models' schema and can be reverted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import (
    Connection,
    MetaData,
    Table,
    column,
    create_engine,
    insert,
    inspect,
    select,
)
from sqlalchemy import table as sql_table

from tests.support import migrate
from tests.support.migrate import connected
from tests.support.postgres import create_database, drop_database, libpq
from tournee.auth.models import RefreshToken, SignInEmail
from tournee.kernel.entity import Base, UTCDateTime
from tournee.kernel.log import Head, Record
from tournee.migrations import LOCK


def _round_trip(url: str, sync_url: str) -> list[str]:
    migrate.upgrade(url)
    migrate.check(url)
    migrate.downgrade(url)
    engine = create_engine(sync_url)
    left = [name for name in inspect(engine).get_table_names() if name != "alembic_version"]
    engine.dispose()
    migrate.upgrade(url)
    return left


@pytest.mark.slow("Every migration, up and down.")
def test_sqlite_migrations_upgrade_match_the_models_and_downgrade(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tournee.db"
    assert _round_trip(url, url) == []


@pytest.mark.slow("Every migration, up and down.")
def test_postgresql_migrations_upgrade_match_the_models_and_downgrade(postgres_url: str) -> None:
    url = create_database(postgres_url, "migrations")
    assert _round_trip(url, url.replace("postgresql://", "postgresql+psycopg://")) == []
    drop_database(postgres_url, "migrations")


def test_a_migration_waits_while_another_one_goes_on(postgres_url: str) -> None:
    url = create_database(postgres_url, "waiting")
    with ThreadPoolExecutor() as threads, psycopg.connect(libpq(url)) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        migrated = threads.submit(migrate.upgrade, url)
        with pytest.raises(TimeoutError):
            migrated.result(2)
        assert other.execute("SELECT to_regclass('organisation')").fetchone() == (None,)
        other.rollback()
        migrated.result(60)
    with psycopg.connect(libpq(url)) as after:
        assert after.execute("SELECT to_regclass('organisation')").fetchone() == ("organisation",)
    drop_database(postgres_url, "waiting")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/tournee.db"
        return
    server: str = request.getfixturevalue("postgres_url")
    yield create_database(server, "earlier")
    drop_database(server, "earlier")


BEFORE_WINDOWS_MOVED, WINDOWS_MOVED = "0002", "0003"
WINDOW = {"window_from": datetime(2026, 11, 9, tzinfo=UTC), "window_to": datetime(2026, 12, 22, tzinfo=UTC)}
ON_THE_WIRE = {"windowFrom": "2026-11-09T00:00:00Z", "windowTo": "2026-12-22T00:00:00Z"}


def _add_technicians(connection: Connection, organisation: UUID) -> None:
    """Add two technicians with profiles to the tables as they were before the window moved."""
    head = {"organisation_id": organisation, "epoch": organisation, "seq": 4, "floor": 0}
    _insert(connection, "head", head)
    common = {"organisation_id": organisation, "created_at": WINDOW["window_from"], "deleted": False}
    for number in range(2):
        own = {
            "id": uuid4(),
            "name": f"Demo {number}",
            "kind": "EMPLOYEE",
            "status": "ACTIVE",
            "time_zone": "UTC",
        }
        _insert(connection, "technician", common | own | WINDOW)
        profile = {"id": uuid4(), "technician_id": own["id"], "efficiency": 1.0}
        _insert(connection, "technician_profile", common | profile)
        documents = {
            "Technician": {"id": str(own["id"]), "name": "Demo Zoé", **ON_THE_WIRE},
            "TechnicianProfile": {"id": str(profile["id"]), "technicianId": str(own["id"])},
        }
        for entity, document in documents.items():
            record = {"id": UUID(document["id"]), "entity": entity, "seq": 1, "deleted": False, "clock": "{}"}
            written = {"organisation_id": organisation, "document": json.dumps(document, ensure_ascii=False)}
            _insert(connection, "record", record | written)


def _insert(connection: Connection, name: str, values: dict[str, Any]) -> None:
    table = Base.metadata.tables[name]
    columns = [column(key, table.c[key].type if key in table.c else UTCDateTime()) for key in values]
    connection.execute(insert(sql_table(name, *columns)).values(values))


def _windows(connection: Connection, name: str, entity: str) -> tuple[list[Any], list[Any]]:
    """Return the windows in a table's rows and in its documents."""
    columns = [column(key, UTCDateTime()) for key in WINDOW]
    rows = connection.execute(select(*columns).select_from(sql_table(name))).mappings()
    documents = connection.scalars(select(Record.document).where(Record.entity == entity))
    return [dict(row) for row in rows], [
        {key: value for key, value in json.loads(document).items() if key in ON_THE_WIRE}
        for document in documents
    ]


def test_a_window_migrates_to_the_profile_and_back_with_its_values(empty_url: str) -> None:
    organisation = uuid4()
    migrate.upgrade(empty_url, BEFORE_WINDOWS_MOVED)
    with connected(empty_url) as connection:
        _add_technicians(connection, organisation)
    migrate.upgrade(empty_url, WINDOWS_MOVED)
    with connected(empty_url) as connection:
        assert _windows(connection, "technician_profile", "TechnicianProfile") == (
            [WINDOW] * 2,
            [ON_THE_WIRE] * 2,
        )
        assert "window_from" not in Table("technician", MetaData(), autoload_with=connection).c
        left = connection.scalars(select(Record.document).where(Record.entity == "Technician")).all()
        assert [json.loads(document)["name"] for document in left] == ["Demo Zoé"] * 2
        assert not [document for document in left if "window" in document]
        assert connection.scalar(select(Head.epoch)) != organisation, "Devices pull anew."
    migrate.downgrade(empty_url, BEFORE_WINDOWS_MOVED)
    with connected(empty_url) as connection:
        assert _windows(connection, "technician", "Technician") == ([WINDOW] * 2, [ON_THE_WIRE] * 2)
        assert "window_from" not in Table("technician_profile", MetaData(), autoload_with=connection).c


BEFORE_EMAILS, EMAILS = "0023", "0024"


def _add_account(connection: Connection, organisation: UUID, email: str) -> None:
    """Add an account with a refresh token, to the tables as they were before."""
    own, at = {"organisation_id": organisation}, datetime(2026, 11, 9, tzinfo=UTC)
    account = {"id": uuid4(), "created_at": at, "deleted": False, "email": email, "name": "Demo"}
    _insert(connection, "account", own | account | {"role": "TECHNICIAN", "status": "ACTIVE"})
    token = {"hash": f"hash of {email}"[:64], "family_id": uuid4(), "account_id": account["id"]}
    _insert(connection, "refresh_token", own | token | {"issued_at": at, "expires_at": at})


def _state(url: str) -> tuple[list[Any], list[Any], list[str]]:
    """Return refresh tokens, e-mails, and the key of refresh tokens."""
    with connected(url) as connection:
        tokens = connection.execute(select(RefreshToken.hash).order_by(RefreshToken.hash)).scalars()
        there = inspect(connection).has_table("sign_in_email")
        emails = connection.execute(select(SignInEmail.email).order_by(SignInEmail.email)) if there else ()
        key = inspect(connection).get_pk_constraint("refresh_token")["constrained_columns"]
        return list(tokens), [email for (email,) in emails], sorted(key)


@pytest.mark.slow("Every migration up to these.")
def test_refresh_tokens_and_emails_stay_when_their_keys_change(empty_url: str) -> None:
    emails = [f"{n}@demo.example" for n in range(3)]
    tokens = [f"hash of {email}" for email in emails]
    migrate.upgrade(empty_url, BEFORE_EMAILS)
    with connected(empty_url) as connection:
        for email in emails:
            _add_account(connection, uuid4(), email)
    for _ in range(2):
        migrate.upgrade(empty_url, EMAILS)
        assert _state(empty_url) == (tokens, emails, ["hash", "organisation_id"])
        migrate.downgrade(empty_url, BEFORE_EMAILS)
        assert _state(empty_url) == (tokens, [], ["hash"])
