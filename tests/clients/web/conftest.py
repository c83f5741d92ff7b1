from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest
import pytest_asyncio
from starlette.applications import Starlette

from tests.clients.web.story import FOLDER, Story, story
from tests.support.house import House
from tournee.kernel.actor import Actor


@pytest.fixture(scope="session")
def packages() -> None:
    """Install what `package-lock.json` names, once for each version of it."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        pytest.skip("Node and npm are not installed")
    stamp = FOLDER / "node_modules" / ".installed"
    with (FOLDER / "package-lock.json").open("rb") as lock:
        # Another worker may be installing them.
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = hashlib.sha256(lock.read()).hexdigest()
        if not stamp.exists() or stamp.read_text("utf-8") != wanted:
            subprocess.run([npm, "ci", "--ignore-scripts", "--loglevel=error"], cwd=FOLDER, check=True)
            stamp.write_text(wanted, "utf-8")


@pytest_asyncio.fixture
async def told(
    app: Starlette, house: House, client: httpx2.AsyncClient, bearer: Callable[[Actor], dict[str, str]]
) -> AsyncIterator[Story]:
    """Return a story that has begun."""
    async with story(app, house, bearer(await house.account("MANAGER")), client) as begun:
        yield begun
