from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import make_url

from tests.pooled.pgbouncer import UNSUITABLE, Served, behind, find, pgbouncer
from tests.support.postgres import create_database, drop_database, libpq
from tests.support.processes import running

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def pooler(request: pytest.FixtureRequest) -> Iterator[int]:
    """Return the port of a PgBouncer in front of the run's PostgreSQL."""
    program = find()
    if program is None:
        pytest.skip("PgBouncer is not installed (Debian's package is `pgbouncer`)")
    with pgbouncer(program, request.getfixturevalue("postgres_url")) as port:
        yield port


@pytest.fixture(scope="module")
def empty_url(postgres_url: str, pooler: int) -> Iterator[str]:
    """Return the URL of an empty database behind the pooler."""
    name = f"pooled_{next(_numbers)}"
    url = create_database(postgres_url, name)
    with psycopg.connect(libpq(url), autocommit=True) as connection:
        for setting, value in UNSUITABLE.items():
            connection.execute(
                SQL("ALTER DATABASE {} SET {} = {}").format(Identifier(name), Identifier(setting), value)
            )
    yield behind(pooler, url)
    drop_database(postgres_url, name)


@pytest.fixture(scope="module")
def server(
    postgres_url: str, empty_url: str, pooler: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """Return a server that has migrated the database and added the demo, all through the pooler."""
    directory = tmp_path_factory.mktemp("server")
    settings = {"TOURNEE_PREPARED_STATEMENTS": "0", "TOURNEE_WORKERS": "2", "TOURNEE_DEMO": "1"}
    settings["TOURNEE_LISTEN_URL"] = (
        make_url(postgres_url)
        .set(database=make_url(empty_url).database)
        .render_as_string(hide_password=False)
    )
    with running(directory, empty_url, **settings) as (_, url, _process):
        yield Served(url, directory / "log", empty_url, pooler)
