"""The command line: `tournee run`, `tournee migrate`, `tournee schema` …"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from sqlalchemy.exc import OperationalError

from tournee import migrations
from tournee.settings import Settings, UnusableSetting, read_settings
from tournee.web.listening import BACKLOG, KEEP_ALIVE, serve

main = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Tournée, a backend for service operations."
)

# Requests that are still running when we are told to stop get this long.
_GRACE_SECONDS = 20


def _settings() -> Settings:
    """What the environment says, or one line about what is wrong with it."""
    try:
        return read_settings()
    except UnusableSetting as problem:
        print(problem, file=sys.stderr)
        raise typer.Exit(2) from None


def _migrate(database_url: str) -> None:
    try:
        migrations.migrate(database_url)
    except (OperationalError, OSError) as problem:
        why = str(getattr(problem, "orig", problem)).strip().partition("\n")[0]
        print(f"DATABASE_URL: the database cannot be opened: {why}", file=sys.stderr)
        raise typer.Exit(2) from None


@main.command()
def run() -> None:
    """Migrate, add the demo organisation (unless TOURNEE_DEMO=0) and serve."""
    from tournee.demo import is_loopback  # noqa: PLC0415 - brings in every domain, which others need not wait for

    os.environ.setdefault("TOURNEE_LOG_FORMAT", "console" if sys.stderr.isatty() else "json")
    if is_loopback(_settings().host):
        os.environ.setdefault("TOURNEE_DEMO", "1")
    settings = _settings()
    if settings.is_sqlite and settings.workers > 1:
        raise typer.BadParameter("SQLite serves one process; use PostgreSQL for TOURNEE_WORKERS > 1.")
    _migrate(settings.database_url)
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


@main.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    _migrate(_settings().database_url)


@main.command()
def schema(
    check: Annotated[bool, typer.Option(help="Only say whether the printed schema is current.")] = False,
) -> None:
    """Print the GraphQL schema to schema/schema.graphql."""
    from tournee.api.schema import sdl  # noqa: PLC0415 - builds the whole schema

    file = migrations.ROOT / "schema" / "schema.graphql"
    if not check:
        file.write_text(sdl(), "utf-8")
    elif not file.exists() or file.read_text("utf-8") != sdl():
        print("schema/schema.graphql is not current: run `make schema` and commit it.", file=sys.stderr)
        raise typer.Exit(1)


@main.command()
def rotate_keys() -> None:
    """Sign access tokens with a new key from now on; those signed before stay good."""
    from tournee.auth.keys import KeyRing  # noqa: PLC0415

    KeyRing(_settings().directory).rotate()


@main.command()
def restored() -> None:
    """After the database was restored from a backup, before the server starts: devices begin their copy anew.

    What they hold may be ahead of the backup. Work they hand in again is still recognised.
    Numbers of the log go on where the microseconds since 1970 are, so that none is given twice.
    """
    from tournee.kernel.database import Database  # noqa: PLC0415
    from tournee.sync.restored import begin_anew  # noqa: PLC0415

    async def begin() -> int:
        database = Database(_settings().database_url)
        try:
            return await begin_anew(database)
        finally:
            await database.close()

    print(f"A new epoch has begun for {asyncio.run(begin())} organisations.")


@main.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV or JSON lines, plain or gzip.")],
    mapping: Annotated[Path, typer.Option(help="Says which column becomes which field: docs/importing.md.")],
    organisation: Annotated[
        str | None, typer.Option(help="Its name or id; needed if there are several.")
    ] = None,
    create_organisation: Annotated[
        str | None, typer.Option(help="Name of one to found if it is not there.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="Email of who imports; else the first manager.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Where to write what was wrong with which line.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Check and report, write nothing.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Read only so many lines.")] = None,
) -> None:
    """Import a file of customers, sites, contacts, assets, readings or past audits."""
    from tournee.importing.command import Options, import_file  # noqa: PLC0415 - brings in every domain

    settings = _settings()
    _migrate(settings.database_url)
    options = Options(file, mapping, organisation, create_organisation, account, report, dry_run, limit)
    raise typer.Exit(import_file(settings.database_url, options))


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
