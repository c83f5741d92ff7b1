from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import delete

from tests.auth.keys.servers import Clock, Stores
from tournee.auth.keys import ring, store
from tournee.auth.keys.models import ServerKey
from tournee.auth.keys.store import KeyStore
from tournee.engine.database import Database
from tournee.engine.engines import ACROSS
from tournee.settings import Settings


@pytest_asyncio.fixture(autouse=True)
async def _no_keys(database: Database) -> AsyncIterator[None]:
    """Begin and end without keys, as a new database does."""
    for _ in range(2):
        async with database.writing(ACROSS) as session:
            await session.execute(delete(ServerKey))
            await session.commit()
        if _ == 0:
            yield


@pytest.fixture
def settings(database: Database, tmp_path: Path) -> Settings:
    return Settings(database_url=database.url, directory=tmp_path)


@pytest.fixture
def stores(database: Database, settings: Settings) -> Stores:
    """Return a function that makes the key store of another server, with changed settings."""

    def make(**changed: Any) -> KeyStore:
        return KeyStore(database, settings.model_copy(update=changed))

    return make


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    made = Clock()
    for module in (ring, store):
        monkeypatch.setattr(module, "now", made)
    return made
