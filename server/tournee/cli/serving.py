"""`tournee run`: serve."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import uvicorn

from tournee.cli import shared
from tournee.settings import Settings
from tournee.web.listening import BACKLOG, KEEP_ALIVE, serve

# Requests that are still running when we are told to stop get this long.
_GRACE_SECONDS = 20


def run() -> None:
    """Migrate, add the demo organisation (unless TOURNEE_DEMO=0) and serve."""
    from tournee.demo import is_loopback  # noqa: PLC0415 - brings in every domain, which others need not wait for

    os.environ.setdefault("TOURNEE_LOG_FORMAT", "console" if sys.stderr.isatty() else "json")
    if is_loopback(shared.settings().host):
        os.environ.setdefault("TOURNEE_DEMO", "1")
    settings = shared.settings()
    shared.migrate(settings.database_url)
    _seed(settings)
    _count_across_processes(settings)
    print(_welcome(settings), flush=True)
    config = uvicorn.Config(
        "tournee.app:create",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="auto",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=settings.body_limit,
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    with suppress(KeyboardInterrupt):
        serve(config)


def _seed(settings: Settings) -> None:
    from datetime import UTC, datetime  # noqa: PLC0415

    from tournee.catalogue import MEMBERSHIPS  # noqa: PLC0415
    from tournee.demo import is_demo, seed  # noqa: PLC0415
    from tournee.kernel.command import Kernel  # noqa: PLC0415
    from tournee.kernel.database import Database  # noqa: PLC0415

    async def add() -> None:
        database = Database(settings.database_url)
        try:
            await seed(Kernel(database, MEMBERSHIPS), datetime.now(UTC).date())
        finally:
            await database.close()

    if is_demo(settings):
        asyncio.run(add())


def _count_across_processes(settings: Settings) -> None:
    """Give the workers' metrics a place to meet; it must be empty at the start and set before they are."""
    if settings.workers > 1:
        directory = settings.directory / "metrics"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(Path(directory).resolve())


def _welcome(settings: Settings) -> str:
    from tournee.demo import PASSWORD, emails, is_demo  # noqa: PLC0415

    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    line = f"Tournée on http://{host}:{settings.port}"
    if is_demo(settings):
        line += f" · demo accounts {', '.join(emails())} · password {PASSWORD}"
    return line
