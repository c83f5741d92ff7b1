"""Fixtures for all tests: a database of either kind, an organisation in it, the server on it.

README.md lists them. A fixture imports what only it needs, so that a small test starts quickly.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
import structlog
from argon2 import PasswordHasher

from tournee.auth import passwords

if TYPE_CHECKING:
    import httpx2
    from starlette.applications import Starlette

    from tests.support.desk import Desk
    from tests.support.house import House
    from tournee.engine.database import Database
    from tournee.engine.tail import Tail
    from tournee.kernel.actor import Actor

_numbers = itertools.count(1)
_SLOW: list[pytest.TestReport] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--sqlite", action="store_true", help="leave out what needs PostgreSQL: it starts quicker"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for marker in item.iter_markers("prove_on"):
            parameter, reason = marker.args
            if parameter in _parameters(item):
                item.add_marker(pytest.mark.prove(reason))
    if config.getoption("--sqlite"):
        left_out = [item for item in items if _needs_postgresql(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    explained = {"slow", "prove"} & report.keywords.keys()
    if report.when == "call" and report.duration > 5 and not explained:
        _SLOW.append(report)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _SLOW:
        terminalreporter.section("took over five seconds and do not say why (pytest.mark.slow)")
        for report in _SLOW:
            terminalreporter.line(f"{report.duration:.1f}s {report.nodeid}")


def _needs_postgresql(item: pytest.Item) -> bool:
    return "postgres_url" in getattr(item, "fixturenames", ()) or "postgresql" in _parameters(item)


def _parameters(item: pytest.Item) -> tuple[Any, ...]:
    return tuple(item.callspec.params.values()) if hasattr(item, "callspec") else ()


@pytest.fixture(scope="session", autouse=True)
def _passwords_cost_little() -> Iterator[None]:
    """Make password hashing cheap in this process; servers in their own processes still take 0.25 s."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


@pytest.fixture(scope="session", autouse=True)
def _logs_are_plain() -> None:
    """Log exceptions as the server does: by default each takes seconds, for all its local variables."""
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[plain])


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """Return the URL of a PostgreSQL server for the whole run."""
    from tests.support.postgres import postgres

    with postgres(durable=False) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> str:
    """Return the name of a migrated database to copy; nothing connects to it."""
    from tests.support import migrate
    from tests.support.postgres import create_database

    migrate.upgrade(create_database(postgres_url, "migrated"))
    return "migrated"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a migrated database file to copy; TOURNEE_TEST_TEMPLATE names one that was made before."""
    if made := os.environ.get("TOURNEE_TEST_TEMPLATE"):
        return Path(made)
    from tests.support import migrate

    file = tmp_path_factory.mktemp("template") / "migrated.db"
    migrate.upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a migrated, empty database for this module, once per kind."""
    name = f"test_{next(_numbers)}"
    if request.param == "sqlite":
        file = tmp_path_factory.mktemp(name) / "tournee.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), file)
        yield f"sqlite:///{file}"
        return
    from tests.support.postgres import create_database, drop_database

    # Requested by name only here, so that a run with --sqlite starts no server.
    template: str = request.getfixturevalue("postgres_template")
    server: str = request.getfixturevalue("postgres_url")
    yield create_database(server, name, template)
    drop_database(server, name)


@pytest_asyncio.fixture(scope="module")
async def module_database(database_url: str) -> AsyncIterator[Database]:
    """Return this module's open database, whose connections and compiled statements every test reuses."""
    from tournee.engine.database import Database

    opened = Database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
def database(module_database: Database) -> Iterator[Database]:
    """Return this module's open database, without listeners."""
    yield module_database
    module_database.listeners.clear()


@pytest_asyncio.fixture
async def tail(database: Database) -> AsyncIterator[Tail]:
    """Return the cached end of the log, as a server has it."""
    from tournee.engine.heads import Heads
    from tournee.engine.tail import Tail

    heads = Heads(database)
    yield Tail(database, heads)
    await heads.close()


@pytest_asyncio.fixture
async def house(database: Database) -> House:
    """Return a new organisation in the module's database."""
    from tests.support.house import House

    return await House(database).found()


@pytest_asyncio.fixture(scope="module")
async def served_database(database_url: str) -> AsyncIterator[Database]:
    """Return the module's database as its servers open it, as a separate process would."""
    from tournee.engine.database import Database

    opened = Database(database_url)
    close, opened.close = opened.close, _stay_open  # type: ignore[method-assign]
    yield opened
    await close()


async def _stay_open() -> None:
    """Keep the database open when a server stops, so that the next one reuses compiled statements."""


@pytest_asyncio.fixture
async def app(
    served_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Starlette]:
    """Return the whole server, started on this module's database; `app.state` has its parts."""
    import tournee.app
    from tournee.settings import Settings

    monkeypatch.setattr(tournee.app, "Database", lambda _url, **_: served_database)
    served = tournee.app.create_app(Settings(database_url=served_database.url, directory=tmp_path))
    async with served.router.lifespan_context(served):
        yield served
    served_database.listeners.clear()


@pytest_asyncio.fixture
async def client(app: Starlette) -> AsyncIterator[httpx2.AsyncClient]:
    """Return an HTTP client of the server, without a sign-in."""
    import httpx2

    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://server") as caller:
        yield caller


@pytest.fixture
def bearer(app: Starlette) -> Callable[[Actor], dict[str, str]]:
    """Return a function that makes an actor's headers; the account must exist (`house.account`)."""
    return lambda actor: {"Authorization": f"Bearer {app.state.tokens.issue(actor)}"}


@pytest_asyncio.fixture
async def desk(house: House, client: httpx2.AsyncClient, bearer: Callable[[Actor], dict[str, str]]) -> Desk:
    """Return a manager with a device who can send any bytes to the server."""
    from tests.support.desk import Desk
    from tournee.kernel.entity import new_id

    return Desk(house, client, bearer(await house.account("MANAGER")), str(new_id()))
