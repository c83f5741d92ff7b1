"""The setting of a simulation: the real application, twice, on one database.

The two applications act as two server processes, each with its own caches.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.pool import StaticPool
from starlette.applications import Starlette

from tests.support import migrate
from tournee.app import create_app
from tournee.engine.database import Database
from tournee.settings import Settings

PROCESSES = 2
# Long enough that a delayed request still has a valid token, short enough that tokens expire.
TOKEN_SECONDS = 4 * 3600
# With the machine's clock, heartbeats would come at different times in each run.
HEARTBEAT_SECONDS = 10**6


class Stage:
    """The applications, and a separate connection to read what they have written."""

    def __init__(self, url: str, directory: Path) -> None:
        self.settings = Settings(
            database_url=url,
            directory=directory,
            access_token_seconds=TOKEN_SECONDS,
            heartbeat_seconds=HEARTBEAT_SECONDS,
        )
        self.url = url
        self.apps: list[Starlette] = self._start()
        self.is_sqlite = url.startswith("sqlite")
        self.eye = eye_of(url)

    def _start(self) -> list[Starlette]:
        return [create_app(self.settings) for _ in range(PROCESSES)]

    async def restart(self) -> None:
        """Start new processes without any cached state."""
        await self._stop()
        self.apps = self._start()
        await self.read_keys()

    async def read_keys(self) -> None:
        """Read the keys, as a server does at its start."""
        for app in self.apps:
            await app.state.tokens.ring.ready()

    @property
    def database(self) -> Database:
        return self.apps[0].state.kernel.database

    def forget(self) -> None:
        """Forget what a process loses when it dies."""
        for app in self.apps:
            app.state.authenticator._known.clear()

    async def close(self) -> None:
        self.eye.dispose()
        await self._stop()

    async def _stop(self) -> None:
        for app in self.apps:
            # The lifespan, which does not run here, would close these.
            parts: Any = app.router.lifespan_context.__self__
            for part in (parts.acknowledged, parts.heads, parts.database):
                await part.close()


def eye_of(url: str) -> Engine:
    """Return an engine that sees all organisations, on PostgreSQL as the superuser."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(url, poolclass=StaticPool)

        @event.listens_for(engine, "connect")
        def _connect(connection: object, _record: object) -> None:
            connection.isolation_level = None  # type: ignore[attr-defined]

        return engine
    superuser = parsed.set(drivername="postgresql+psycopg", username="postgres")
    return create_engine(superuser, poolclass=StaticPool, isolation_level="AUTOCOMMIT")


@cache
def _migrated() -> bytes:
    """Return a migrated, empty database file."""
    with tempfile.TemporaryDirectory(prefix="tournee-simulator-") as directory:
        file = Path(directory) / "migrated.db"
        migrate.upgrade(f"sqlite:///{file}")
        return file.read_bytes()


@contextmanager
def sqlite_url() -> Iterator[str]:
    """Yield the URL of a migrated database file for this process."""
    directory = Path(tempfile.mkdtemp(prefix="tournee-simulator-"))
    try:
        file = directory / "simulated.db"
        file.write_bytes(_migrated())
        yield f"sqlite:///{file}"
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def postgresql_url() -> Iterator[str]:
    """Yield the URL of a migrated database on this process's own PostgreSQL."""
    # Imported late, as most seeds run on SQLite.
    from tests.support.postgres import postgres

    with postgres(durable=False) as server:
        yield migrated_copy(server)


def migrated_copy(server: str) -> str:
    from tests.support.postgres import create_database

    url = create_database(server, f"simulated_{uuid4().hex[:8]}")
    migrate.upgrade(url)
    return url


def discard(server: str, url: str) -> None:
    from tests.support.postgres import drop_database

    drop_database(server, str(make_url(url).database))


@asynccontextmanager
async def staged(url: str) -> AsyncIterator[Stage]:
    """Yield the applications on this database, without lifespan, so that nothing happens by itself."""
    directory = Path(tempfile.mkdtemp(prefix="tournee-keys-"))
    stage = Stage(url, directory)
    try:
        await stage.read_keys()
        yield stage
    finally:
        await stage.close()
        shutil.rmtree(directory, ignore_errors=True)
