from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import httpx2
import pytest
import pytest_asyncio
from starlette.applications import Starlette

from tests.clients.web.story import FOLDER, Story, story
from tests.support.house import House
from tournee.kernel.actor import Actor


@contextmanager
def alone() -> Iterator[None]:
    """Keep other workers from writing into this folder."""
    with (FOLDER / "package-lock.json").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*program: str) -> None:
    done = subprocess.run(program, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def packages() -> None:
    """Install what `package-lock.json` names, once for each version of it; compile Relay's documents."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("Node and npm are not installed")
    stamp = FOLDER / "node_modules" / ".installed"
    with alone():
        wanted = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
        if not stamp.exists() or stamp.read_text("utf-8") != wanted:
            run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
            stamp.write_text(wanted, "utf-8")
        run("node_modules/.bin/relay-compiler")


@pytest.fixture
def generated(packages: None) -> Iterator[None]:
    """Generate typed documents, and compile the program that uses them."""
    with alone():
        run("node", "codegen/generate.mjs")
        run("node_modules/.bin/tsc", "-p", "codegen")
        yield


@pytest_asyncio.fixture
async def told(
    app: Starlette, house: House, client: httpx2.AsyncClient, bearer: Callable[[Actor], dict[str, str]]
) -> AsyncIterator[Story]:
    """Return a story that has begun."""
    async with story(app, house, bearer(await house.account("MANAGER")), client) as begun:
        yield begun
