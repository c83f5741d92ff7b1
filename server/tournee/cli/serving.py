"""`tournee run`: serve."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import uvicorn

from tournee.cli import shared
from tournee.kernel.demo import ORGANISATIONS
from tournee.logs import configure_logs
from tournee.settings import Settings, is_loopback
from tournee.web.connections import Connection
from tournee.web.listening import BACKLOG, KEEP_ALIVE, bind, serve

# Seconds that running requests get after the signal to stop.
_GRACE_SECONDS = 20

# A worker that is silent for this long is ended, with all the requests it is answering. On a busy machine, a
# starting worker may need more than uvicorn's default of five seconds, and would be ended again and again.
_HEALTHCHECK_SECONDS = 30


def run() -> None:
    """Migrate and serve. On loopback with the embedded database this is a demo, unless TOURNEE_DEMO=0."""
    settings = shared.settings()
    shared.prepare(settings)
    # Take the port before anything is written: another server may be running here.
    with _bind(settings) as bound:
        shared.migrate(settings.database_url)
        _require_setting(settings)
        settings = _completed(settings)
        configure_logs(settings.log_format)
        _open_keys(settings)
        _seed(settings)
        _count_across_processes(settings)
        print(_welcome(settings, bound.getsockname()[1]), flush=True)
        with suppress(KeyboardInterrupt):
            serve(_config(settings), bound)


def _config(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        "tournee.app:create",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="auto",
        http=Connection,
        ws="websockets-sansio",
        ws_max_size=settings.body_limit,
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        # The server reads these headers itself: web/addresses.py.
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_worker_healthcheck=_HEALTHCHECK_SECONDS,
    )


def _bind(settings: Settings) -> socket.socket:
    """Return a socket at the address, or exit with one line that says why that is impossible."""
    try:
        return bind(settings.host, settings.port)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            shared.fail(
                f"PORT: {settings.port} is in use: choose another, such as PORT={settings.port + 1}.", 2
            )
        if problem.errno == errno.EACCES:
            shared.fail(f"PORT: {settings.port} is not open to this user: choose one from 1024 up.", 2)
        shared.fail(f"TOURNEE_HOST: {settings.host} does not belong to this machine: {problem.strerror}.", 2)


def _require_setting(settings: Settings) -> None:
    """Exit with one line if Citus would not tell its nodes whose rows a transaction may see."""
    from tournee.operating import distribution  # noqa: PLC0415 - commands that need none start sooner

    if settings.is_sqlite:
        return
    try:
        distribution.require_setting(settings.database_url)
    except distribution.NotDistributed as problem:
        shared.fail(str(problem), 2)


def _open_keys(settings: Settings) -> None:
    """Make the server's keys if there are none; exit with one line if they cannot be decrypted."""
    from tournee.auth.keys.store import KeyStore  # noqa: PLC0415 - commands that need none start sooner
    from tournee.auth.keys.vault import UnusableSecret  # noqa: PLC0415
    from tournee.engine.database import Database  # noqa: PLC0415

    async def read() -> None:
        database = Database(settings.database_url, prepares=settings.prepared_statements)
        try:
            await KeyStore(database, settings).read()
        finally:
            await database.close()

    try:
        asyncio.run(read())
    except UnusableSecret as problem:
        shared.fail(str(problem), 2)


def _completed(settings: Settings) -> Settings:
    """Return the settings, completed with the defaults that depend on the terminal and the database.

    These are written into the environment, because each worker reads its settings there.
    """
    organisations = asyncio.run(_organisations(settings))
    chosen = {
        "log_format": "console" if sys.stderr.isatty() else "json",
        "demo": _is_for_the_demo(settings, organisations),
    }
    for name, value in chosen.items():
        if name not in settings.model_fields_set:
            os.environ[f"TOURNEE_{name.upper()}"] = str(value)
    settings = shared.settings()
    for line in _remarks(settings, organisations):
        print(line, file=sys.stderr)
    return settings


def _is_for_the_demo(settings: Settings, organisations: frozenset[UUID]) -> bool:
    """Return whether to be a demo by default: no database is named, and it holds no other organisation."""
    return settings.is_embedded and is_loopback(settings.host) and organisations <= ORGANISATIONS


def _remarks(settings: Settings, organisations: frozenset[UUID]) -> Iterator[str]:
    if settings.demo and not settings.is_demo:
        yield "TOURNEE_DEMO: there is no demo, because TOURNEE_HOST is not a loopback address."
    if not settings.is_demo and organisations & ORGANISATIONS:
        yield (
            "The database holds the demo organisation. Its accounts cannot sign in, because this server is "
            "not a demo (TOURNEE_DEMO=1 on a loopback address)."
        )


async def _organisations(settings: Settings) -> frozenset[UUID]:
    from sqlalchemy import select  # noqa: PLC0415

    from tournee.engine.database import Database  # noqa: PLC0415 - commands that need none start sooner
    from tournee.engine.engines import ACROSS  # noqa: PLC0415
    from tournee.kernel.entity import Organisation  # noqa: PLC0415 - commands that need none start sooner

    database = Database(settings.database_url, prepares=settings.prepared_statements)
    try:
        async with database.reading(ACROSS) as session:
            return frozenset(await session.scalars(select(Organisation.id)))
    finally:
        await database.close()


def _seed(settings: Settings) -> None:
    from datetime import UTC, datetime  # noqa: PLC0415

    from tournee.catalogue import MEMBERSHIPS  # noqa: PLC0415
    from tournee.demo import seed  # noqa: PLC0415
    from tournee.engine.database import Database  # noqa: PLC0415
    from tournee.kernel.command import Kernel  # noqa: PLC0415

    async def add() -> None:
        database = Database(settings.database_url, prepares=settings.prepared_statements)
        try:
            today = datetime.now(UTC).date()
            await seed(Kernel(database, MEMBERSHIPS), today, large=settings.demo_size == "large")
        finally:
            await database.close()

    if settings.is_demo:
        asyncio.run(add())


def _count_across_processes(settings: Settings) -> None:
    """Make an empty folder in which the workers share their metrics; it must be set before they start."""
    if settings.workers > 1:
        directory = settings.directory / "metrics"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(Path(directory).resolve())


def _welcome(settings: Settings, port: int) -> str:
    from tournee.demo import PASSWORD, emails  # noqa: PLC0415

    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    line = f"Tournée on http://{host}:{port}"
    if settings.is_demo:
        line += f" · demo accounts {', '.join(emails())} · password {PASSWORD}"
    return line
